package main

import (
	"context"
	"reflect"
	"sync"
	"time"
)

// Single calls, each in a loop, on data that is there: the counterparts of ../../calls.cpp, by the same names. Where Go
// has no such call, the idiom for it is measured, and a comment names it; where it has no idiom either, nothing is.

const batch = 1000

func add(calls map[string]func(*timing)) {
	for name, call := range calls {
		workloads[name] = call
	}
}

var sink struct {
	chans  chan int
	number int
	text   string
	ok     bool
	err    error
	ctx    context.Context
	time   time.Time
}

// Makes a workload of a function that prepares the data and returns a function that makes a batch of calls.
func batches(prepare func() func()) func(*timing) {
	return func(t *timing) {
		for calls := prepare(); t.next(batch); {
			calls()
		}
	}
}

func sendRecv[T any](value T) func(*timing) {
	return batches(func() func() {
		one := make(chan T, 1)
		return func() {
			for i := 0; i < batch; i++ {
				one <- value
				value = <-one
			}
		}
	})
}

func handOver[T any](value T) func(*timing) {
	return batches(func() func() {
		between := make(chan T)
		return func() {
			go func() {
				for i := 0; i < batch; i++ {
					between <- value
				}
			}()
			for i := 0; i < batch; i++ {
				value = <-between
			}
		}
	})
}

func filled(closed bool, values int) chan int {
	c := make(chan int, 1)
	for i := 0; i < values; i++ {
		c <- i
	}
	if closed {
		close(c)
	}
	return c
}

func tryRecv(closed bool) func(*timing) {
	return batches(func() func() {
		c := filled(closed, 0)
		return func() {
			for i := 0; i < batch; i++ {
				select {
				case sink.number, sink.ok = <-c:
				default:
				}
			}
		}
	})
}

func selectOf2() func() {
	a, b := filled(false, 0), filled(false, 0)
	return func() {
		for i := 0; i < batch; i++ {
			a <- i
			select {
			case sink.number = <-a:
			case sink.number = <-b:
			}
		}
	}
}

func selectAny(withDefault bool) func(*timing) {
	return batches(func() func() {
		var c [8]chan int
		var cases []reflect.SelectCase
		for i := range c {
			c[i] = filled(false, 0)
			cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(c[i])})
		}
		if withDefault {
			cases = append(cases, reflect.SelectCase{Dir: reflect.SelectDefault})
		}
		return func() {
			for i := 0; i < batch; i++ {
				if !withDefault {
					c[i%8] <- i
				}
				sink.number, _, sink.ok = reflect.Select(cases)
			}
		}
	})
}

func withTimeout(in <-chan int, before func(int)) func() {
	return func() {
		for i := 0; i < batch; i++ {
			if before != nil {
				before(i)
			}
			within, cancel := context.WithTimeout(context.Background(), time.Second)
			select {
			case sink.number = <-in:
			case <-within.Done():
			}
			cancel()
		}
	}
}

func withTimeoutReady() func() {
	a := filled(false, 0)
	return withTimeout(a, func(i int) { a <- i })
}

func init() {
	add(map[string]func(*timing){
		"channel_make": batches(func() func() {
			return func() {
				for i := 0; i < batch; i++ {
					sink.chans = make(chan int)
				}
			}
		}),
		"channel_make_buffered": batches(func() func() {
			return func() {
				for i := 0; i < batch; i++ {
					sink.chans = make(chan int, 16)
				}
			}
		}),
		"channel_make_close": batches(func() func() {
			return func() {
				for i := 0; i < batch; i++ {
					sink.chans = make(chan int)
					close(sink.chans)
				}
			}
		}),
		"channel_size": batches(func() func() {
			c := filled(false, 1)
			return func() {
				for i := 0; i < batch; i++ {
					sink.number = len(c)
				}
			}
		}),
		"try_recv_empty":  tryRecv(false),
		"try_recv_closed": tryRecv(true),
		"try_recv_nil": batches(func() func() {
			return func() {
				for i := 0; i < batch; i++ {
					select {
					case sink.number = <-nilChannel:
					default:
					}
				}
			}
		}),
		"try_send_full": batches(func() func() {
			c := filled(false, 1)
			return func() {
				for i := 0; i < batch; i++ {
					select {
					case c <- i:
					default:
					}
				}
			}
		}),
		"try_send_try_recv": batches(func() func() {
			c := filled(false, 0)
			return func() {
				for i := 0; i < batch; i++ {
					select {
					case c <- i:
					default:
					}
					select {
					case sink.number = <-c:
					default:
					}
				}
			}
		}),
		"recv_closed": batches(func() func() {
			c := filled(true, 0)
			return func() {
				for i := 0; i < batch; i++ {
					sink.number = <-c
				}
			}
		}),
		"signal_send_recv":           sendRecv(struct{}{}),
		"emplace_string_recv":        sendRecv("eleven char"),
		"send_recv_1":                sendRecv(byte(1)),
		"send_recv_8":                sendRecv(1),
		"send_recv_16":               sendRecv([16]byte{}),
		"send_recv_64":               sendRecv([64]byte{}),
		"send_recv_256":              sendRecv([256]byte{}),
		"send_recv_short_string":     sendRecv("eleven char"),
		"send_recv_long_string":      sendRecv(lines[:40]),
		"send_recv_unique_ptr":       sendRecv(new(int)),
		"send_recv_shared_ptr":       sendRecv(new(int)),
		"send_copy_recv_long_string": sendRecv(lines[:40]),
		"hand_over_8":                handOver(1),
		"hand_over_256":              handOver([256]byte{}),
		"hand_over_short_string":     handOver("eleven char"),

		"select_2":    batches(selectOf2),
		"select_on_2": batches(selectOf2),
		"select_send_2": batches(func() func() {
			a, b := filled(false, 0), filled(false, 0)
			return func() {
				for i := 0; i < batch; i++ {
					select {
					case a <- i:
					case sink.number = <-b:
					}
					<-a
				}
			}
		}),
		"select_otherwise_2": batches(func() func() {
			a, b := filled(false, 0), filled(false, 0)
			return func() {
				for i := 0; i < batch; i++ {
					select {
					case sink.number = <-a:
					case sink.number = <-b:
					default:
					}
				}
			}
		}),
		"select_on_8": batches(func() func() {
			var c [8]chan int
			for i := range c {
				c[i] = filled(false, 0)
			}
			return func() {
				for i := 0; i < batch; i++ {
					c[i%8] <- i
					select {
					case n := <-c[0]:
						sink.number += n
					case n := <-c[1]:
						sink.number += n
					case n := <-c[2]:
						sink.number += n
					case n := <-c[3]:
						sink.number += n
					case n := <-c[4]:
						sink.number += n
					case n := <-c[5]:
						sink.number += n
					case n := <-c[6]:
						sink.number += n
					case n := <-c[7]:
						sink.number += n
					}
				}
			}
		}),
		"select_sleep": batches(func() func() {
			a := filled(false, 0)
			return func() {
				for i := 0; i < batch; i++ {
					a <- i
					timeout := time.NewTimer(time.Second)
					select {
					case sink.number = <-a:
					case <-timeout.C:
					}
					timeout.Stop()
				}
			}
		}),
		"select_context":   batches(selectContext),
		"with_context":     batches(selectContext),
		"select_any_8":     selectAny(false),
		"try_select_any_8": selectAny(true),
		"with_timeout":     batches(withTimeoutReady),
		"with_deadline":    batches(withTimeoutReady),
		"with_timeout_waits": batches(func() func() {
			return func() { withTimeout(numbers(0), nil)() }
		}),
		"all_2": batches(func() func() { // two goroutines and a WaitGroup
			a, b := filled(false, 0), filled(false, 0)
			return func() {
				for i := 0; i < batch; i++ {
					a <- i
					b <- i
					var both sync.WaitGroup
					var x, y int
					both.Add(2)
					go func() {
						x = <-a
						both.Done()
					}()
					go func() {
						y = <-b
						both.Done()
					}()
					both.Wait()
					sink.number = x + y
				}
			}
		}),
	})
}

var nilChannel chan int
var keptCancel func()

func selectContext() func() {
	a := filled(false, 0)
	within, cancel := context.WithCancel(context.Background())
	keptCancel = cancel
	return func() {
		for i := 0; i < batch; i++ {
			a <- i
			select {
			case sink.number = <-a:
			case <-within.Done():
			}
		}
	}
}
