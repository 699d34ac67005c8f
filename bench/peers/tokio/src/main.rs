mod calls;
mod lateness;
mod timing;
mod workloads;

use std::time::Duration;
use timing::Timing;
use tokio::runtime::Builder;

// For one worker Tokio has a scheduler that needs no synchronisation. The other one runs what was woken last first, and
// so touches less memory, which counts for more here.
const FASTER_ON_THE_POOL: &[&str] = &["mpmc_4x4", "prime_sieve", "skynet", "timers_sleep"];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let wanted = arguments.get(1).map(String::as_str).unwrap_or("");
    if wanted == "--list" {
        for (name, _) in workloads::ALL.iter().chain(calls::ALL) {
            println!("{name}");
        }
        return;
    }
    let (name, workload) = match workloads::ALL.iter().chain(calls::ALL).find(|(name, _)| *name == wanted) {
        Some(found) => found,
        None => {
            eprintln!(
                "usage: {} WORKLOAD|--list [WORKERS [SECONDS]]",
                arguments[0]
            );
            std::process::exit(2);
        }
    };
    let workers: usize = arguments
        .get(2)
        .and_then(|text| text.parse().ok())
        .unwrap_or(1);
    let seconds: f64 = arguments
        .get(3)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0.5);

    let single = workers == 1 && !FASTER_ON_THE_POOL.contains(name);
    let mut builder = if single {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    builder.worker_threads(workers).enable_time();
    if ["late_echo", "stream_send_recv", "datagram_send_recv"].contains(name) {
        builder.enable_io();
    }
    let runtime = builder.build().unwrap();
    let timing =
        runtime.block_on(async { tokio::spawn(workload(Timing::new(seconds))).await.unwrap() });
    print!(
        "{} {} {:.3} {} {:.3}",
        name, workers, timing.per_operation, timing.operations, timing.cpu_per_operation
    );
    match timing.longest {
        Some(longest) => println!(" {longest}"),
        None => println!(),
    }
    runtime.shutdown_timeout(Duration::ZERO);
}
