//! Arguments, the clock and the line that is printed: the same as ../../../timing.hpp, which says what they mean.

use std::time::{Duration, Instant};

pub struct Timing {
    pub seconds: Duration,
    warming: bool,
    begin: Option<Instant>,
    cpu_begin: f64,
    pub operations: u64,
    pub per_operation: f64,
    pub cpu_per_operation: f64,
    pub longest: Option<u128>,
}

impl Timing {
    pub fn new(seconds: f64) -> Timing {
        Timing {
            seconds: Duration::from_secs_f64(seconds),
            warming: false,
            begin: None,
            cpu_begin: 0.0,
            operations: 0,
            per_operation: 0.0,
            cpu_per_operation: 0.0,
            longest: None,
        }
    }

    pub fn measured(&mut self, mut delays: Vec<Duration>) {
        delays.sort();
        self.per_operation = delays[delays.len() / 2].as_nanos() as f64;
        self.operations = delays.len() as u64;
        self.cpu_per_operation = delays[delays.len() * 99 / 100].as_nanos() as f64;
        self.longest = delays.last().map(Duration::as_nanos);
    }

    pub fn next(&mut self, operations: u64) -> bool {
        let now = Instant::now();
        let elapsed = match self.begin {
            Some(begin) => now - begin,
            None => {
                self.warming = true;
                self.begin = Some(now);
                return true;
            }
        };
        if self.warming {
            if elapsed >= self.seconds / 5 {
                self.warming = false;
                self.cpu_begin = cpu_nanoseconds();
                self.begin = Some(Instant::now());
            }
            return true;
        }
        self.operations += operations;
        if elapsed < self.seconds {
            return true;
        }
        self.per_operation = elapsed.as_nanos() as f64 / self.operations as f64;
        self.cpu_per_operation = (cpu_nanoseconds() - self.cpu_begin) / self.operations as f64;
        false
    }
}

pub fn expect(right: bool) {
    if !right {
        eprintln!("wrong result");
        std::process::exit(1);
    }
}

fn cpu_nanoseconds() -> f64 {
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let of = |t: libc::timeval| t.tv_sec as f64 * 1e9 + t.tv_usec as f64 * 1e3;
    of(usage.ru_utime) + of(usage.ru_stime)
}

pub fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm
        .split_whitespace()
        .nth(1)
        .and_then(|field| field.parse().ok())
        .unwrap_or(0.0);
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as f64
}
