package main

import (
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

//go:noinline
func nothing() {}

//go:noinline
func number() int { return 7 }

//go:noinline
func withArguments(int, *int, string) {}

// errgroup.Group of golang.org/x/sync, which is no part of Go's library: the first error cancels the rest.
type group struct {
	cancel  func()
	all     sync.WaitGroup
	once    sync.Once
	err     error
	permits chan struct{}
}

func newGroup(limit int) *group {
	_, cancel := context.WithCancel(context.Background())
	g := &group{cancel: cancel}
	if limit > 0 {
		g.permits = make(chan struct{}, limit)
	}
	return g
}

func (g *group) run(f func() error) {
	if g.permits != nil {
		g.permits <- struct{}{}
	}
	g.all.Add(1)
	go func() {
		defer func() {
			if g.permits != nil {
				<-g.permits
			}
			g.all.Done()
		}()
		if err := f(); err != nil {
			g.once.Do(func() {
				g.err = err
				g.cancel()
			})
		}
	}()
}

func (g *group) wait() error {
	g.all.Wait()
	g.cancel()
	return g.err
}

func succeed() error { return nil }

func groupOf(members, limit int) {
	g := newGroup(limit)
	for i := 0; i < members; i++ {
		g.run(succeed)
	}
	sink.err = g.wait()
}

// A pool of four goroutines that take jobs from a channel.
func newPool() chan func() {
	jobs := make(chan func(), 16)
	for i := 0; i < 4; i++ {
		go func() {
			for job := range jobs {
				job()
			}
		}()
	}
	return jobs
}

// The call in a loop. Go inlines no function value, so what takes less than some nanoseconds has a loop of its own.
func each(prepare func() func(i int)) func(*timing) {
	return batches(func() func() {
		call := prepare()
		return func() {
			for i := 0; i < batch; i++ {
				call(i)
			}
		}
	})
}

func alone(call func()) func(*timing) { return each(func() func(int) { return func(int) { call() } }) }

// Of so many goroutines, of which each does its share.
func shared(goroutines int, prepare func() func(goroutine int)) func(*timing) {
	return batches(func() func() {
		share := prepare()
		return func() {
			var all sync.WaitGroup
			all.Add(goroutines)
			for g := 0; g < goroutines; g++ {
				go func(g int) {
					share(g)
					all.Done()
				}(g)
			}
			all.Wait()
		}
	})
}

type key struct{}
type otherKey struct{}

type ends = io.ReadWriter

// Writes 64 bytes here, and reads them there.
func bytesThrough(pair func() (ends, ends)) func(*timing) {
	return each(func() func(int) {
		here, there := pair()
		message, into := make([]byte, 64), make([]byte, 64)
		return func(int) {
			here.Write(message)
			sink.number, sink.err = there.Read(into)
		}
	})
}

func datagramPair() (ends, ends) {
	both, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	of := func(descriptor int) net.Conn {
		file := os.NewFile(uintptr(descriptor), "")
		defer file.Close()
		c, err := net.FileConn(file)
		if err != nil {
			panic(err)
		}
		return c
	}
	return of(both[0]), of(both[1])
}

func init() {
	add(map[string]func(*timing){
		"task_call":       alone(nothing),
		"task_call_value": alone(func() { sink.number = number() }),
		"go_join": alone(func() { // a channel for the result
			result := make(chan int, 1)
			go func() { result <- number() }()
			sink.number = <-result
		}),
		"go_lambda_join": each(func() func(int) {
			return func(i int) {
				result := make(chan int, 1)
				go func() { result <- i }()
				sink.number = <-result
			}
		}),
		"go_detached": batches(func() func() {
			return func() {
				for i := 0; i < batch; i++ {
					go nothing()
				}
				runtime.Gosched()
			}
		}),
		"go_with_arguments": batches(func() func() {
			pointer := new(int)
			return func() {
				for i := 0; i < batch; i++ {
					go withArguments(i, pointer, "text")
				}
				runtime.Gosched()
			}
		}),
		"join_ended": batches(func() func() {
			var ended [batch]chan int
			return func() {
				for i := range ended {
					result := make(chan int, 1)
					ended[i] = result
					go func() { result <- number() }()
				}
				for _, each := range ended {
					sink.number = <-each
				}
			}
		}),
		"wait_group_go": batches(func() func() {
			return func() {
				var all sync.WaitGroup
				for i := 0; i < batch; i++ {
					all.Add(1)
					go all.Done()
				}
				all.Wait()
			}
		}),
		"wait_group_add_done": batches(func() func() {
			var all sync.WaitGroup
			return func() {
				for i := 0; i < batch; i++ {
					all.Add(1)
					all.Done()
				}
			}
		}),
		"wait_group_wait_open": batches(func() func() {
			var all sync.WaitGroup
			return func() {
				for i := 0; i < batch; i++ {
					all.Wait()
				}
			}
		}),
		"group_go":         pipeline(func() { groupOf(batch, 0) }),
		"group_go_limited": pipeline(func() { groupOf(batch, 10) }),
		"group_make_wait":  alone(func() { groupOf(0, 0) }),
		"scope_of_one":     alone(func() { groupOf(1, 0) }),
		"pool_submit": each(func() func(int) {
			jobs := newPool()
			return func(int) { jobs <- nothing }
		}),
		"pool_submit_join": each(func() func(int) {
			jobs := newPool()
			return func(int) {
				result := make(chan int, 1)
				jobs <- func() { result <- number() }
				sink.number = <-result
			}
		}),
		"yield_alone": alone(runtime.Gosched),

		"context_is_cancelled": batches(func() func() {
			open, cancel := context.WithCancel(context.Background())
			keptCancel = cancel
			return func() {
				for i := 0; i < batch; i++ {
					sink.err = open.Err()
				}
			}
		}),
		"context_with_cancel": alone(func() { // a context that is dropped has to be cancelled
			within, cancel := context.WithCancel(context.Background())
			sink.ctx = within
			cancel()
		}),
		"context_cancel": alone(func() {
			within, cancel := context.WithCancel(context.Background())
			sink.ctx = within
			cancel()
		}),
		"context_with_timeout": alone(func() {
			within, cancel := context.WithTimeout(context.Background(), time.Second)
			sink.ctx = within
			cancel()
		}),
		"context_with_value": each(func() func(int) {
			return func(i int) { sink.ctx = context.WithValue(context.Background(), key{}, i) }
		}),
		"context_value_of_parent": each(func() func(int) {
			child := context.WithValue(context.WithValue(context.Background(), key{}, 1), otherKey{}, 2)
			return func(int) { sink.number = child.Value(key{}).(int) }
		}),

		"mutex_lock": batches(func() func() {
			var lock sync.Mutex
			return func() {
				for i := 0; i < batch; i++ {
					lock.Lock()
					lock.Unlock()
				}
			}
		}),
		"mutex_try_lock": batches(func() func() {
			var lock sync.Mutex
			return func() {
				for i := 0; i < batch; i++ {
					if lock.TryLock() {
						lock.Unlock()
					}
				}
			}
		}),
		"mutex_try_lock_held": batches(func() func() {
			var lock sync.Mutex
			lock.Lock()
			return func() {
				for i := 0; i < batch; i++ {
					sink.ok = lock.TryLock()
				}
			}
		}),
		"shared_mutex_lock": batches(func() func() {
			var lock sync.RWMutex
			return func() {
				for i := 0; i < batch; i++ {
					lock.Lock()
					lock.Unlock()
				}
			}
		}),
		"shared_mutex_lock_shared": batches(func() func() {
			var lock sync.RWMutex
			return func() {
				for i := 0; i < batch; i++ {
					lock.RLock()
					lock.RUnlock()
				}
			}
		}),
		"semaphore_acquire": batches(func() func() { // a channel of permits
			permits := make(chan struct{}, 4)
			return func() {
				for i := 0; i < batch; i++ {
					permits <- struct{}{}
					<-permits
				}
			}
		}),
		"semaphore_contended": shared(8, func() func(int) {
			permits := make(chan struct{}, 2)
			return func(int) {
				for i := 0; i < batch/8; i++ {
					permits <- struct{}{}
					runtime.Gosched()
					<-permits
				}
			}
		}),
		"once_done": batches(func() func() {
			var first sync.Once
			return func() {
				for i := 0; i < batch; i++ {
					first.Do(nothing)
				}
			}
		}),
		"once_first": alone(func() {
			first := new(sync.Once)
			first.Do(nothing)
		}),
		"event_wait_set": batches(func() func() { // a closed channel
			open := filled(true, 0)
			return func() {
				for i := 0; i < batch; i++ {
					<-open
				}
			}
		}),
		"event_set_reset": alone(func() { // a new channel, which is closed
			sink.chans = make(chan int)
			close(sink.chans)
		}),
		"event_is_set": tryRecv(true),
		"latch_of_one": alone(func() {
			open := new(sync.WaitGroup)
			open.Add(1)
			open.Done()
			open.Wait()
		}),
		"condition_notify_none": batches(func() func() {
			changed := sync.NewCond(new(sync.Mutex))
			return func() {
				for i := 0; i < batch; i++ {
					changed.Signal()
				}
			}
		}),
		"condition_hand_over": shared(2, func() func(int) {
			changed := sync.NewCond(new(sync.Mutex))
			turn := 0
			return func(mine int) {
				for i := 0; i < batch/2; i++ {
					changed.L.Lock()
					for turn != mine {
						changed.Wait()
					}
					turn = 1 - mine
					changed.Signal()
					changed.L.Unlock()
				}
			}
		}),
		"completion": each(func() func(int) { // a channel of one value
			return func(i int) {
				result := make(chan int, 1)
				result <- i
				sink.number = <-result
			}
		}),

		"now":        alone(func() { sink.time = time.Now() }),
		"timer_make": alone(func() { sink.ok = time.NewTimer(time.Second).Stop() }),
		"timer_reset": each(func() func(int) {
			limit := time.NewTimer(time.Hour)
			return func(int) { sink.ok = limit.Reset(time.Hour) }
		}),
		"timer_stop_reset": each(func() func(int) {
			limit := time.NewTimer(time.Hour)
			return func(int) {
				limit.Stop()
				sink.ok = limit.Reset(time.Hour)
			}
		}),
		"timer_fired": each(func() func(int) {
			limit := time.NewTimer(time.Hour)
			return func(int) {
				limit.Reset(0)
				sink.time = <-limit.C
			}
		}),
		"ticker_reset": each(func() func(int) {
			every := time.NewTicker(time.Hour)
			return func(int) { every.Reset(time.Hour) }
		}),
		"ticker_tick": each(func() func(int) {
			every := time.NewTicker(1)
			return func(int) { sink.time = <-every.C }
		}),

		"pipe_write_read": bytesThrough(func() (ends, ends) {
			reader, writer, err := os.Pipe()
			if err != nil {
				panic(err)
			}
			return writer, reader
		}),
		"stream_send_recv":   bytesThrough(func() (ends, ends) { return socketPair() }),
		"datagram_send_recv": bytesThrough(datagramPair),
	})
}
