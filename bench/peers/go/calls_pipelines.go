package main

import (
	"bufio"
	"io"
	"strings"
	"sync"
	"time"
)

// Pipelines by hand, as Go's users write them.

func numbers(buffer int) <-chan int { return numbersBelow(batch, buffer) }

func numbersBelow(many, buffer int) <-chan int {
	out := make(chan int, buffer)
	go func() {
		for i := 0; i < many; i++ {
			out <- i
		}
		close(out)
	}()
	return out
}

func drain[T any](in <-chan T) {
	for range in {
	}
}

func mapped(in <-chan int, workers int) <-chan int {
	out := make(chan int)
	var all sync.WaitGroup
	all.Add(workers)
	for w := 0; w < workers; w++ {
		go func() {
			for n := range in {
				out <- 2 * n
			}
			all.Done()
		}()
	}
	go func() {
		all.Wait()
		close(out)
	}()
	return out
}

func batched(in <-chan int) <-chan []int {
	out := make(chan []int)
	go func() {
		defer close(out)
		for first := range in {
			values := append(make([]int, 0, 100), first)
			limit := time.NewTimer(time.Second)
		gathering:
			for len(values) < 100 {
				select {
				case n, ok := <-in:
					if !ok {
						break gathering
					}
					values = append(values, n)
				case <-limit.C:
					break gathering
				}
			}
			limit.Stop()
			out <- values
		}
	}()
	return out
}

func taken(in <-chan int, many int) <-chan int {
	out := make(chan int)
	go func() {
		for i := 0; i < many; i++ {
			out <- <-in
		}
		close(out)
	}()
	return out
}

func merged(a, b <-chan int) <-chan int {
	out := make(chan int)
	var both sync.WaitGroup
	both.Add(2)
	for _, in := range []<-chan int{a, b} {
		go func(in <-chan int) {
			for n := range in {
				out <- n
			}
			both.Done()
		}(in)
	}
	go func() {
		both.Wait()
		close(out)
	}()
	return out
}

func teed(in <-chan int) (<-chan int, <-chan int) {
	a, b := make(chan int), make(chan int)
	go func() {
		for n := range in {
			for left, right := a, b; left != nil || right != nil; {
				select {
				case left <- n:
					left = nil
				case right <- n:
					right = nil
				}
			}
		}
		close(a)
		close(b)
	}()
	return a, b
}

func pipeline(drained func()) func(*timing) { return batches(func() func() { return drained }) }

var lines = strings.Repeat("a line of thirty-one characters\n", batch)

func init() {
	add(map[string]func(*timing){
		"generate":          pipeline(func() { drain(numbers(0)) }),
		"generate_buffered": pipeline(func() { drain(numbers(64)) }),
		"map":               pipeline(func() { drain(mapped(numbers(0), 1)) }),
		"map_4":             pipeline(func() { drain(mapped(numbers(0), 4)) }),
		"take":              pipeline(func() { drain(taken(numbers(0), batch)) }),
		"batch_100":         pipeline(func() { drain(batched(numbers(0))) }),
		"merge_2":           pipeline(func() { drain(merged(numbersBelow(batch/2, 0), numbersBelow(batch/2, 0))) }),
		"tee_2": pipeline(func() {
			a, b := teed(numbers(0))
			for n := range a {
				sink.number = n + <-b
			}
		}),

		"read_line": pipeline(func() {
			in := bufio.NewReader(strings.NewReader(lines))
			for i := 0; i < batch; i++ {
				sink.text, sink.err = in.ReadString('\n')
			}
		}),
		"read_exactly_into": pipeline(func() {
			in := bufio.NewReader(strings.NewReader(lines))
			var into [32]byte
			for i := 0; i < batch; i++ {
				sink.number, sink.err = io.ReadFull(in, into[:])
			}
		}),
		"write_line": batches(func() func() {
			out := bufio.NewWriterSize(io.Discard, 16*1024)
			return func() {
				for i := 0; i < batch; i++ {
					out.WriteString("a line of ")
					out.WriteString("thirty-one characters")
					out.WriteString("\n")
				}
			}
		}),
		"write_and_flush": batches(func() func() {
			out := bufio.NewWriterSize(io.Discard, 16*1024)
			return func() {
				for i := 0; i < batch; i++ {
					out.WriteString("a line of thirty-one characters\n")
					out.Flush()
				}
			}
		}),
	})
}
