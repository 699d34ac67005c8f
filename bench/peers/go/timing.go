// Arguments, the clock and the line that is printed: the same as ../../timing.hpp, which says what they mean.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"syscall"
	"time"
)

type timing struct {
	seconds         time.Duration
	warming         bool
	begin           time.Time
	cpuBegin        float64
	operations      int
	perOperation    float64
	cpuPerOperation float64
	delays          []time.Duration
}

func (t *timing) next(operations int) bool {
	now := time.Now()
	switch {
	case t.begin.IsZero():
		t.warming = true
		t.begin = now
		return true
	case t.warming:
		if now.Sub(t.begin) < t.seconds/5 {
			return true
		}
		t.warming = false
		t.cpuBegin = cpuNanoseconds()
		t.begin = time.Now()
		return true
	}
	t.operations += operations
	elapsed := now.Sub(t.begin)
	if elapsed < t.seconds {
		return true
	}
	t.perOperation = float64(elapsed.Nanoseconds()) / float64(t.operations)
	t.cpuPerOperation = (cpuNanoseconds() - t.cpuBegin) / float64(t.operations)
	return false
}

func (t *timing) expect(right bool) {
	if !right {
		fmt.Fprintln(os.Stderr, "wrong result")
		os.Exit(1)
	}
}

func cpuNanoseconds() float64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Nano() + usage.Stime.Nano())
}

func residentBytes() float64 {
	var total, resident int
	if file, err := os.Open("/proc/self/statm"); err == nil {
		fmt.Fscan(file, &total, &resident)
		file.Close()
	}
	return float64(resident * os.Getpagesize())
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "--list" {
		names := make([]string, 0, len(workloads))
		for name := range workloads {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			fmt.Println(name)
		}
		return
	}
	if len(os.Args) < 2 || workloads[os.Args[1]] == nil {
		fmt.Fprintf(os.Stderr, "usage: %s WORKLOAD|--list [WORKERS [SECONDS]]\n", os.Args[0])
		os.Exit(2)
	}
	workers, seconds := 1, 0.5
	if len(os.Args) > 2 {
		workers, _ = strconv.Atoi(os.Args[2])
	}
	if len(os.Args) > 3 {
		seconds, _ = strconv.ParseFloat(os.Args[3], 64)
	}
	runtime.GOMAXPROCS(workers)
	t := &timing{seconds: time.Duration(seconds * float64(time.Second))}
	workloads[os.Args[1]](t)
	if d := t.delays; d != nil {
		sort.Slice(d, func(i, j int) bool { return d[i] < d[j] })
		fmt.Println(os.Args[1], workers, d[len(d)/2].Nanoseconds(), len(d), d[len(d)*99/100].Nanoseconds(),
			d[len(d)-1].Nanoseconds())
		return
	}
	fmt.Printf("%s %d %.3f %d %.3f\n", os.Args[1], workers, t.perOperation, t.operations, t.cpuPerOperation)
}
