//! How late others are beside a task that computes for 50 ms at a time.

use crate::timing::Timing;
use std::future::Future;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

async fn compute(end: Instant) {
    while Instant::now() < end {
        let until = Instant::now() + Duration::from_millis(50);
        while Instant::now() < until {}
        tokio::task::yield_now().await;
    }
}

/// Runs each of them, beside what computes, until the end of the time that is measured.
async fn beside_computing<F, E>(mut t: Timing, many: usize, each: F) -> Timing
where
    F: Fn(Instant) -> E,
    E: Future<Output = Vec<Duration>> + Send + 'static,
{
    let end = Instant::now() + t.seconds;
    let running: Vec<_> = (0..many).map(|_| tokio::spawn(each(end))).collect();
    let computing = tokio::spawn(compute(end));
    let mut delays = Vec::new();
    for one in running {
        delays.append(&mut one.await.unwrap());
    }
    computing.await.unwrap();
    t.measured(delays);
    t
}

async fn sleep_often(end: Instant) -> Vec<Duration> {
    let mut late = Vec::new();
    loop {
        let due = Instant::now() + Duration::from_millis(1);
        if due >= end {
            return late;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        late.push(Instant::now() - due);
    }
}

pub async fn late_timers(t: Timing) -> Timing {
    beside_computing(t, 100, sleep_often).await
}

async fn answer(mut stream: UnixStream) {
    let mut byte = [0];
    while stream.read(&mut byte).await.unwrap() == 1 {
        stream.write_all(&byte).await.unwrap();
    }
}

async fn ask(end: Instant) -> Vec<Duration> {
    let (mut here, there) = UnixStream::pair().unwrap();
    tokio::spawn(answer(there));
    let mut took = Vec::new();
    let mut byte = [0];
    loop {
        let begin = Instant::now();
        if begin >= end {
            return took;
        }
        here.write_all(&byte).await.unwrap();
        here.read_exact(&mut byte).await.unwrap();
        took.push(begin.elapsed());
    }
}

pub async fn late_echo(t: Timing) -> Timing {
    beside_computing(t, 20, ask).await
}
