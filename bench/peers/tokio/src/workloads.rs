//! Tokio has no rendezvous channel: where the others use one, this uses a capacity of 1; of 10 in skynet, which is
//! faster. Where several receive from one channel, it is async-channel's, for Tokio's own have a single receiver.

use crate::lateness::{late_echo, late_timers};
use crate::timing::{expect, resident_bytes, Timing};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, Mutex};
use tokio::task::JoinHandle;

pub type Run = fn(Timing) -> Pin<Box<dyn Future<Output = Timing> + Send>>;

pub const ALL: &[(&str, Run)] = &[
    ("unbuffered_pingpong", |t| Box::pin(unbuffered_pingpong(t))),
    ("buffered_spsc", |t| Box::pin(buffered_spsc(t))),
    ("mpmc_4x4", |t| Box::pin(mpmc_4x4(t))),
    ("prime_sieve", |t| Box::pin(prime_sieve(t))),
    ("select2_ready", |t| Box::pin(select2_ready(t))),
    ("select8_ready", |t| Box::pin(select8_ready(t))),
    ("select_default", |t| Box::pin(select_default(t))),
    ("select_timeout", |t| Box::pin(select_timeout(t))),
    ("spawn_join", |t| Box::pin(spawn_join(t))),
    ("skynet", |t| Box::pin(skynet(t))),
    ("yield", |t| Box::pin(yield_now(t))),
    ("timers_sleep", |t| Box::pin(timers_sleep(t))),
    ("memory", |t| Box::pin(memory(t))),
    ("mutex", |t| Box::pin(mutex(t))),
    ("worker_pool", |t| Box::pin(worker_pool(t))),
    ("late_timers", |t| Box::pin(late_timers(t))),
    ("late_echo", |t| Box::pin(late_echo(t))),
];

fn sum_below(n: i64) -> i64 {
    n * (n - 1) / 2
}

async fn join(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        task.await.unwrap();
    }
}

async fn produce(out: mpsc::Sender<i32>, count: i32) {
    for i in 0..count {
        out.send(i).await.unwrap();
    }
}

async fn unbuffered_pingpong(mut t: Timing) -> Timing {
    const MESSAGES: i32 = 200_000;
    while t.next(MESSAGES as u64) {
        let (to, mut there) = mpsc::channel(1);
        let (fro, mut back) = mpsc::channel(1);
        let ping = tokio::spawn(async move {
            for i in 0..MESSAGES / 2 {
                to.send(i).await.unwrap();
                back.recv().await.unwrap();
            }
        });
        let pong = tokio::spawn(async move {
            for i in 0..MESSAGES / 2 {
                there.recv().await.unwrap();
                fro.send(i).await.unwrap();
            }
        });
        join(vec![ping, pong]).await;
    }
    t
}

async fn buffered_spsc(mut t: Timing) -> Timing {
    const MESSAGES: i32 = 500_000;
    while t.next(MESSAGES as u64) {
        let (sender, mut receiver) = mpsc::channel(128);
        tokio::spawn(produce(sender, MESSAGES));
        let consumer = tokio::spawn(async move {
            let mut sum = 0;
            while let Some(value) = receiver.recv().await {
                sum += value as i64;
            }
            sum
        });
        expect(consumer.await.unwrap() == sum_below(MESSAGES as i64));
    }
    t
}

async fn mpmc_4x4(mut t: Timing) -> Timing {
    const MESSAGES: i32 = 400_000;
    while t.next(MESSAGES as u64) {
        let (sender, receiver) = async_channel::bounded(128);
        for _ in 0..4 {
            let sender = sender.clone();
            tokio::spawn(async move {
                for i in 0..MESSAGES / 4 {
                    sender.send(i).await.unwrap();
                }
            });
        }
        drop(sender);
        let mut consumers = Vec::new();
        for _ in 0..4 {
            let receiver = receiver.clone();
            consumers.push(tokio::spawn(async move {
                let mut sum = 0;
                while let Ok(value) = receiver.recv().await {
                    sum += value as i64;
                }
                sum
            }));
        }
        let mut sum = 0;
        for consumer in consumers {
            sum += consumer.await.unwrap();
        }
        expect(sum == 4 * sum_below(MESSAGES as i64 / 4));
    }
    t
}

async fn prime_sieve(mut t: Timing) -> Timing {
    while t.next(1) {
        let (sender, mut stage) = mpsc::channel(1);
        tokio::spawn(async move {
            for i in 2..=7919 {
                sender.send(i).await.unwrap();
            }
        });
        let mut primes = 0;
        let mut last = 0;
        while let Some(prime) = stage.recv().await {
            primes += 1;
            last = prime;
            let (sender, receiver) = mpsc::channel(1);
            let mut numbers = std::mem::replace(&mut stage, receiver);
            tokio::spawn(async move {
                while let Some(number) = numbers.recv().await {
                    if number % prime != 0 {
                        sender.send(number).await.unwrap();
                    }
                }
            });
        }
        expect(primes == 1000 && last == 7919);
    }
    t
}

const SELECTED: i32 = 400_000;

fn producer_of(count: i32) -> mpsc::Receiver<i32> {
    let (sender, receiver) = mpsc::channel(128);
    tokio::spawn(produce(sender, count));
    receiver
}

async fn select2_ready(mut t: Timing) -> Timing {
    while t.next(SELECTED as u64) {
        let mut a = producer_of(SELECTED / 2);
        let mut b = producer_of(SELECTED / 2);
        let mut sum = 0;
        for _ in 0..SELECTED {
            sum += tokio::select! {
                Some(value) = a.recv() => value as i64,
                Some(value) = b.recv() => value as i64,
            };
        }
        expect(sum == 2 * sum_below(SELECTED as i64 / 2));
    }
    t
}

async fn select8_ready(mut t: Timing) -> Timing {
    while t.next(SELECTED as u64) {
        let mut c0 = producer_of(SELECTED / 8);
        let mut c1 = producer_of(SELECTED / 8);
        let mut c2 = producer_of(SELECTED / 8);
        let mut c3 = producer_of(SELECTED / 8);
        let mut c4 = producer_of(SELECTED / 8);
        let mut c5 = producer_of(SELECTED / 8);
        let mut c6 = producer_of(SELECTED / 8);
        let mut c7 = producer_of(SELECTED / 8);
        let mut sum = 0;
        for _ in 0..SELECTED {
            sum += tokio::select! {
                Some(value) = c0.recv() => value as i64,
                Some(value) = c1.recv() => value as i64,
                Some(value) = c2.recv() => value as i64,
                Some(value) = c3.recv() => value as i64,
                Some(value) = c4.recv() => value as i64,
                Some(value) = c5.recv() => value as i64,
                Some(value) = c6.recv() => value as i64,
                Some(value) = c7.recv() => value as i64,
            };
        }
        expect(sum == 8 * sum_below(SELECTED as i64 / 8));
    }
    t
}

async fn select_default(mut t: Timing) -> Timing {
    const TRIES: i32 = 1_000_000;
    let (_sender, mut empty) = mpsc::channel::<i32>(128);
    while t.next(TRIES as u64) {
        let mut misses = 0;
        for _ in 0..TRIES {
            if empty.try_recv().is_err() {
                misses += 1;
            }
        }
        expect(misses == TRIES);
    }
    t
}

async fn select_timeout(mut t: Timing) -> Timing {
    const RECEIVES: i32 = 200_000;
    while t.next(RECEIVES as u64) {
        let (sender, mut receiver) = mpsc::channel(1);
        tokio::spawn(produce(sender, RECEIVES));
        let mut received = 0;
        for _ in 0..RECEIVES {
            if tokio::time::timeout(Duration::from_secs(1), receiver.recv())
                .await
                .is_ok()
            {
                received += 1;
            }
        }
        expect(received == RECEIVES);
    }
    t
}

async fn spawn_join(mut t: Timing) -> Timing {
    const TASKS: usize = 100_000;
    let mut batch = Vec::with_capacity(1000);
    while t.next(TASKS as u64) {
        for _ in 0..TASKS / 1000 {
            for _ in 0..1000 {
                batch.push(tokio::spawn(async {}));
            }
            for task in batch.drain(..) {
                task.await.unwrap();
            }
        }
    }
    t
}

fn tree(parent: mpsc::Sender<i64>, first: i64, leaves: i64) {
    tokio::spawn(async move {
        if leaves == 1 {
            parent.send(first).await.unwrap();
            return;
        }
        let (sender, mut sums) = mpsc::channel(10);
        let below = leaves / 10;
        for i in 0..10 {
            tree(sender.clone(), first + i * below, below);
        }
        let mut sum = 0;
        for _ in 0..10 {
            sum += sums.recv().await.unwrap();
        }
        parent.send(sum).await.unwrap();
    });
}

async fn skynet(mut t: Timing) -> Timing {
    const LEAVES: i64 = 1_000_000;
    while t.next(1) {
        let (sender, mut root) = mpsc::channel(1);
        tree(sender, 0, LEAVES);
        expect(root.recv().await == Some(sum_below(LEAVES)));
    }
    t
}

async fn yield_now(mut t: Timing) -> Timing {
    const YIELDS: usize = 400_000;
    while t.next(YIELDS as u64) {
        let yield_often = || {
            tokio::spawn(async {
                for _ in 0..YIELDS / 2 {
                    tokio::task::yield_now().await;
                }
            })
        };
        join(vec![yield_often(), yield_often()]).await;
    }
    t
}

async fn timers_sleep(mut t: Timing) -> Timing {
    const SLEEPERS: u64 = 100_000;
    while t.next(SLEEPERS) {
        let sleep_once = |i| tokio::spawn(tokio::time::sleep(Duration::from_millis(1 + i % 100)));
        join((0..SLEEPERS).map(sleep_once).collect()).await;
    }
    t
}

async fn memory(mut t: Timing) -> Timing {
    const TASKS: usize = 1_000_000;
    static ARRIVED: AtomicUsize = AtomicUsize::new(0);
    let (sender, receiver) = async_channel::bounded::<i32>(1);
    let before = resident_bytes();
    for _ in 0..TASKS {
        let receiver = receiver.clone();
        tokio::spawn(async move {
            ARRIVED.fetch_add(1, Ordering::Relaxed);
            let _ = receiver.recv().await;
        });
    }
    while ARRIVED.load(Ordering::Relaxed) < TASKS {
        tokio::task::yield_now().await;
    }
    t.per_operation = (resident_bytes() - before) / TASKS as f64;
    t.operations = TASKS as u64;
    sender.close();
    t
}

async fn mutex(mut t: Timing) -> Timing {
    const TASKS: usize = 8;
    const LOCKS: usize = 400_000;
    while t.next(LOCKS as u64) {
        let counter = Arc::new(Mutex::new(0));
        let lock_often = |_| {
            let counter = counter.clone();
            tokio::spawn(async move {
                for _ in 0..LOCKS / TASKS {
                    *counter.lock().await += 1;
                }
            })
        };
        join((0..TASKS).map(lock_often).collect()).await;
        expect(*counter.lock().await == LOCKS);
    }
    t
}

async fn worker_pool(mut t: Timing) -> Timing {
    const COUNT: i32 = 200_000;
    while t.next(COUNT as u64) {
        let (hand_out, jobs) = async_channel::bounded(128);
        let (sender, mut results) = mpsc::channel(128);
        for _ in 0..4 {
            let jobs = jobs.clone();
            let sender = sender.clone();
            tokio::spawn(async move {
                while let Ok(job) = jobs.recv().await {
                    sender.send(job * 2).await.unwrap();
                }
            });
        }
        tokio::spawn(async move {
            for i in 0..COUNT {
                hand_out.send(i).await.unwrap();
            }
        });
        let mut sum = 0;
        for _ in 0..COUNT {
            sum += results.recv().await.unwrap() as i64;
        }
        expect(sum == 2 * sum_below(COUNT as i64));
    }
    t
}
