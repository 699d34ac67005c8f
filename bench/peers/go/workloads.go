package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

var workloads = map[string]func(*timing){
	"unbuffered_pingpong": unbufferedPingpong,
	"buffered_spsc":       func(t *timing) { manyToMany(t, 1, 1, 500_000) },
	"mpmc_4x4":            func(t *timing) { manyToMany(t, 4, 4, 400_000) },
	"prime_sieve":         primeSieve,
	"select2_ready":       select2Ready,
	"select8_ready":       select8Ready,
	"select_default":      selectDefault,
	"select_timeout":      selectTimeout,
	"spawn_join":          spawnJoin,
	"skynet":              skynet,
	"yield":               yield,
	"timers_sleep":        timersSleep,
	"memory":              memory,
	"mutex":               mutex,
	"worker_pool":         workerPool,
	"late_timers":         lateTimers,
	"late_echo":           lateEcho,
}

func sumBelow(n int) int { return n * (n - 1) / 2 }

func produce(out chan<- int, count int) {
	for i := 0; i < count; i++ {
		out <- i
	}
}

func unbufferedPingpong(t *timing) {
	const messages = 200_000
	for t.next(messages) {
		there, back := make(chan int), make(chan int)
		var both sync.WaitGroup
		both.Add(2)
		go func() {
			for i := 0; i < messages/2; i++ {
				there <- i
				<-back
			}
			both.Done()
		}()
		go func() {
			for i := 0; i < messages/2; i++ {
				<-there
				back <- i
			}
			both.Done()
		}()
		both.Wait()
	}
}

func manyToMany(t *timing, producers, consumers, messages int) {
	for t.next(messages) {
		values := make(chan int, 128)
		sums := make(chan int)
		var producing sync.WaitGroup
		producing.Add(producers)
		for i := 0; i < producers; i++ {
			go func() {
				produce(values, messages/producers)
				producing.Done()
			}()
		}
		for i := 0; i < consumers; i++ {
			go func() {
				sum := 0
				for value := range values {
					sum += value
				}
				sums <- sum
			}()
		}
		producing.Wait()
		close(values)
		sum := 0
		for i := 0; i < consumers; i++ {
			sum += <-sums
		}
		t.expect(sum == producers*sumBelow(messages/producers))
	}
}

func primeSieve(t *timing) {
	for t.next(1) {
		stage := make(chan int)
		go func(out chan<- int) {
			for i := 2; i <= 7919; i++ {
				out <- i
			}
			close(out)
		}(stage)
		primes, last := 0, 0
		for {
			prime, ok := <-stage
			if !ok {
				break
			}
			primes++
			last = prime
			next := make(chan int)
			go func(in <-chan int, out chan<- int) {
				for number := range in {
					if number%prime != 0 {
						out <- number
					}
				}
				close(out)
			}(stage, next)
			stage = next
		}
		t.expect(primes == 1000 && last == 7919)
	}
}

const selected = 400_000

func select2Ready(t *timing) {
	for t.next(selected) {
		a, b := make(chan int, 128), make(chan int, 128)
		go produce(a, selected/2)
		go produce(b, selected/2)
		sum := 0
		for i := 0; i < selected; i++ {
			select {
			case value := <-a:
				sum += value
			case value := <-b:
				sum += value
			}
		}
		t.expect(sum == 2*sumBelow(selected/2))
	}
}

func select8Ready(t *timing) {
	for t.next(selected) {
		var c [8]chan int
		for i := range c {
			c[i] = make(chan int, 128)
			go produce(c[i], selected/8)
		}
		sum := 0
		for i := 0; i < selected; i++ {
			select {
			case value := <-c[0]:
				sum += value
			case value := <-c[1]:
				sum += value
			case value := <-c[2]:
				sum += value
			case value := <-c[3]:
				sum += value
			case value := <-c[4]:
				sum += value
			case value := <-c[5]:
				sum += value
			case value := <-c[6]:
				sum += value
			case value := <-c[7]:
				sum += value
			}
		}
		t.expect(sum == 8*sumBelow(selected/8))
	}
}

func selectDefault(t *timing) {
	const tries = 1_000_000
	empty := make(chan int, 128)
	for t.next(tries) {
		misses := 0
		for i := 0; i < tries; i++ {
			select {
			case <-empty:
			default:
				misses++
			}
		}
		t.expect(misses == tries)
	}
}

// The timer is stopped: time.After would leave each of them behind for its second.
func selectTimeout(t *timing) {
	const receives = 200_000
	for t.next(receives) {
		values := make(chan int)
		go produce(values, receives)
		received := 0
		for i := 0; i < receives; i++ {
			timeout := time.NewTimer(time.Second)
			select {
			case <-values:
				received++
			case <-timeout.C:
			}
			timeout.Stop()
		}
		t.expect(received == receives)
	}
}

func spawnJoin(t *timing) {
	const tasks = 100_000
	for t.next(tasks) {
		for started := 0; started < tasks; started += 1000 {
			var batch sync.WaitGroup
			batch.Add(1000)
			for i := 0; i < 1000; i++ {
				go batch.Done()
			}
			batch.Wait()
		}
	}
}

func tree(parent chan<- int, first, leaves int) {
	if leaves == 1 {
		parent <- first
		return
	}
	sums := make(chan int)
	below := leaves / 10
	for i := 0; i < 10; i++ {
		go tree(sums, first+i*below, below)
	}
	sum := 0
	for i := 0; i < 10; i++ {
		sum += <-sums
	}
	parent <- sum
}

func skynet(t *timing) {
	const leaves = 1_000_000
	for t.next(1) {
		root := make(chan int)
		go tree(root, 0, leaves)
		t.expect(<-root == sumBelow(leaves))
	}
}

func yield(t *timing) {
	const yields = 400_000
	for t.next(yields) {
		var both sync.WaitGroup
		both.Add(2)
		for task := 0; task < 2; task++ {
			go func() {
				for i := 0; i < yields/2; i++ {
					runtime.Gosched()
				}
				both.Done()
			}()
		}
		both.Wait()
	}
}

func timersSleep(t *timing) {
	const sleepers = 100_000
	for t.next(sleepers) {
		var all sync.WaitGroup
		all.Add(sleepers)
		for i := 0; i < sleepers; i++ {
			go func(length time.Duration) {
				time.Sleep(length)
				all.Done()
			}(time.Duration(1+i%100) * time.Millisecond)
		}
		all.Wait()
	}
}

func memory(t *timing) {
	const tasks = 1_000_000
	neverSent := make(chan int)
	var arrived atomic.Int32
	before := residentBytes()
	for i := 0; i < tasks; i++ {
		go func() {
			arrived.Add(1)
			<-neverSent
		}()
	}
	for arrived.Load() < tasks {
		runtime.Gosched()
	}
	t.perOperation = (residentBytes() - before) / tasks
	t.operations = tasks
	close(neverSent)
}

func mutex(t *timing) {
	const tasks, locks = 8, 400_000
	for t.next(locks) {
		var lock sync.Mutex
		var all sync.WaitGroup
		all.Add(tasks)
		counter := 0
		for task := 0; task < tasks; task++ {
			go func() {
				for i := 0; i < locks/tasks; i++ {
					lock.Lock()
					counter++
					lock.Unlock()
				}
				all.Done()
			}()
		}
		all.Wait()
		t.expect(counter == locks)
	}
}

func workerPool(t *timing) {
	const count = 200_000
	for t.next(count) {
		jobs, results := make(chan int, 128), make(chan int, 128)
		for worker := 0; worker < 4; worker++ {
			go func() {
				for job := range jobs {
					results <- job * 2
				}
			}()
		}
		go func() {
			produce(jobs, count)
			close(jobs)
		}()
		sum := 0
		for i := 0; i < count; i++ {
			sum += <-results
		}
		t.expect(sum == 2*sumBelow(count))
	}
}
