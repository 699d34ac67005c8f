//! Single calls, each in a loop, on data that is there: the counterparts of ../../../calls.cpp, by the same names. Where
//! Tokio has no such call, nothing is measured, or a comment names what its users write. Contexts would be
//! tokio_util's CancellationToken.

use crate::timing::Timing;
use crate::workloads::Run;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{UnixDatagram, UnixStream};
use tokio::sync::{
    mpsc, oneshot, watch, Barrier, Mutex, Notify, OnceCell, RwLock, Semaphore,
};
use tokio::time::Instant;

const BATCH: usize = 1000;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A workload that prepares its data, and then makes batches of calls; `n` counts the calls of a batch.
macro_rules! call {
    ($name:literal, { $($prepare:tt)* }, |$n:ident| $call:block) => {
        ($name, |mut timing: Timing| Box::pin(async move {
            $($prepare)*
            while timing.next(BATCH as u64) {
                for $n in 0..BATCH $call
            }
            timing
        }))
    };
    ($name:literal, { $($prepare:tt)* }, batch $calls:block) => {
        ($name, |mut timing: Timing| Box::pin(async move {
            $($prepare)*
            while timing.next(BATCH as u64) $calls
            timing
        }))
    };
}

macro_rules! send_recv {
    ($name:literal, $value:expr) => {
        call!($name, {
            let (to, mut from) = mpsc::channel(1);
            let mut value = $value;
        }, |_n| {
            let _ = to.send(value).await;
            value = from.recv().await.unwrap();
        })
    };
}

/// Tokio has no rendezvous channel: one of capacity 1.
macro_rules! hand_over {
    ($name:literal, $value:expr) => {
        call!($name, { let value = $value; }, batch {
            let (to, mut from) = mpsc::channel(1);
            let value = value.clone();
            tokio::spawn(async move {
                for _ in 0..BATCH {
                    let _ = to.send(value.clone()).await;
                }
            });
            for _ in 0..BATCH {
                black_box(from.recv().await);
            }
        })
    };
}

async fn nothing() {}
async fn number() -> i32 {
    7
}

pub const ALL: &[(&str, Run)] = &[
    call!("channel_make", {}, |_n| { black_box(mpsc::channel::<i32>(1)); }),
    call!("channel_make_buffered", {}, |_n| { black_box(mpsc::channel::<i32>(16)); }),
    call!("channel_copy", { let (to, _from) = mpsc::channel::<i32>(1); }, |_n| { black_box(to.clone()); }),
    call!("channel_is_closed", { let (to, _from) = mpsc::channel::<i32>(1); }, |_n| { black_box(to.is_closed()); }),
    call!("try_recv_empty", { let (_to, mut from) = mpsc::channel::<i32>(1); }, |_n| { black_box(from.try_recv()).ok(); }),
    call!("try_recv_closed", { let mut from = mpsc::channel::<i32>(1).1; }, |_n| { black_box(from.try_recv()).ok(); }),
    call!("try_send_full", {
        let (to, _from) = mpsc::channel(1);
        to.try_send(1).unwrap();
    }, |_n| { black_box(to.try_send(1)).ok(); }),
    call!("try_send_try_recv", { let (to, mut from) = mpsc::channel(1); }, |_n| {
        black_box(to.try_send(1)).ok();
        black_box(from.try_recv()).ok();
    }),
    call!("recv_closed", { let mut from = mpsc::channel::<i32>(1).1; }, |_n| { black_box(from.recv().await); }),
    send_recv!("signal_send_recv", ()),
    send_recv!("send_recv_1", 1u8),
    send_recv!("send_recv_8", 1u64),
    send_recv!("send_recv_16", [0u64; 2]),
    send_recv!("send_recv_64", [0u64; 8]),
    send_recv!("send_recv_256", [0u64; 32]),
    send_recv!("send_recv_short_string", String::from("eleven char")),
    send_recv!("send_recv_long_string", "x".repeat(40)),
    send_recv!("send_recv_unique_ptr", Box::new(1)),
    send_recv!("send_recv_shared_ptr", Arc::new(1)),
    call!("send_copy_recv_long_string", {
        let (to, mut from) = mpsc::channel(1);
        let text = "x".repeat(40);
    }, |_n| {
        let _ = to.send(text.clone()).await;
        black_box(from.recv().await);
    }),
    hand_over!("hand_over_8", 1u64),
    hand_over!("hand_over_256", [0u64; 32]),
    hand_over!("hand_over_short_string", String::from("eleven char")),

    call!("select_2", {
        let (to, mut a) = mpsc::channel(1);
        let (_other, mut b) = mpsc::channel::<usize>(1);
    }, |n| {
        to.try_send(n).unwrap();
        black_box(tokio::select! { got = a.recv() => got, got = b.recv() => got });
    }),
    call!("select_prefer_first_2", {
        let (to, mut a) = mpsc::channel(1);
        let (_other, mut b) = mpsc::channel::<usize>(1);
    }, |n| {
        to.try_send(n).unwrap();
        black_box(tokio::select! { biased; got = a.recv() => got, got = b.recv() => got });
    }),
    call!("select_otherwise_2", {
        let (_to, mut a) = mpsc::channel::<usize>(1);
        let (_other, mut b) = mpsc::channel::<usize>(1);
    }, |_n| {
        black_box(tokio::select! { biased; got = a.recv() => got, got = b.recv() => got, _ = nothing() => None });
    }),
    call!("select_sleep", { let (to, mut a) = mpsc::channel(1); }, |n| {
        to.try_send(n).unwrap();
        tokio::select! { got = a.recv() => { black_box(got); }, _ = tokio::time::sleep(SECOND) => {} }
    }),
    call!("with_timeout", { let (to, mut a) = mpsc::channel(1); }, |n| {
        to.try_send(n).unwrap();
        black_box(tokio::time::timeout(SECOND, a.recv()).await).ok();
    }),
    call!("with_timeout_waits", {}, batch {
        let (to, mut from) = mpsc::channel(1);
        tokio::spawn(async move {
            for n in 0..BATCH {
                let _ = to.send(n).await;
            }
        });
        for _ in 0..BATCH {
            black_box(tokio::time::timeout(SECOND, from.recv()).await).ok();
        }
    }),
    call!("with_deadline", {
        let (to, mut a) = mpsc::channel(1);
        let deadline = Instant::now() + HOUR;
    }, |n| {
        to.try_send(n).unwrap();
        black_box(tokio::time::timeout_at(deadline, a.recv()).await).ok();
    }),
    // join! polls both in the caller's task.
    call!("all_2", {
        let (to_a, mut a) = mpsc::channel(1);
        let (to_b, mut b) = mpsc::channel(1);
    }, |n| {
        to_a.try_send(n).unwrap();
        to_b.try_send(n).unwrap();
        black_box(tokio::join!(a.recv(), b.recv()));
    }),

    call!("read_line", { let lines = "a line of thirty-one characters\n".repeat(BATCH); }, batch {
        let mut reader = BufReader::new(lines.as_bytes());
        for _ in 0..BATCH {
            let mut line = String::new();
            reader.read_line(&mut line).await.unwrap();
            black_box(line);
        }
    }),
    call!("read_exactly_into", { let lines = "a line of thirty-one characters\n".repeat(BATCH); }, batch {
        let mut reader = BufReader::new(lines.as_bytes());
        let mut into = [0; 32];
        for _ in 0..BATCH {
            reader.read_exact(&mut into).await.unwrap();
        }
    }),
    call!("write_line", { let mut out = BufWriter::with_capacity(16 * 1024, tokio::io::sink()); }, |_n| {
        out.write_all(b"a line of ").await.unwrap();
        out.write_all(b"thirty-one characters").await.unwrap();
        out.write_all(b"\n").await.unwrap();
    }),
    call!("write_and_flush", { let mut out = BufWriter::with_capacity(16 * 1024, tokio::io::sink()); }, |_n| {
        out.write_all(b"a line of thirty-one characters\n").await.unwrap();
        out.flush().await.unwrap();
    }),

    call!("task_call", {}, |_n| { black_box(nothing().await); }),
    call!("task_call_value", {}, |_n| { black_box(number().await); }),
    call!("go_join", {}, |_n| { black_box(tokio::spawn(number()).await).ok(); }),
    call!("go_lambda_join", {}, |n| { black_box(tokio::spawn(async move { n }).await).ok(); }),
    call!("go_detached", {}, batch {
        for _ in 0..BATCH {
            tokio::spawn(nothing());
        }
        tokio::task::yield_now().await;
    }),
    call!("join_ended", {}, batch {
        let ended: Vec<_> = (0..BATCH).map(|_| tokio::spawn(number())).collect();
        for each in ended {
            black_box(each.await).ok();
        }
    }),
    // A JoinSet.
    call!("group_go", {}, batch {
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..BATCH {
            all.spawn(nothing());
        }
        while all.join_next().await.is_some() {}
    }),
    call!("yield_alone", {}, |_n| { tokio::task::yield_now().await; }),

    call!("mutex_lock", { let lock = Mutex::new(0); }, |_n| { *lock.lock().await += 1; }),
    call!("mutex_try_lock", { let lock = Mutex::new(0); }, |_n| { *lock.try_lock().unwrap() += 1; }),
    call!("mutex_try_lock_held", {
        let lock = Mutex::new(0);
        let _held = lock.lock().await;
    }, |_n| { black_box(lock.try_lock().is_err()); }),
    call!("shared_mutex_lock", { let lock = RwLock::new(0); }, |_n| { *lock.write().await += 1; }),
    call!("shared_mutex_lock_shared", { let lock = RwLock::new(0); }, |_n| { black_box(*lock.read().await); }),
    call!("semaphore_acquire", { let permits = Semaphore::new(4); }, |_n| { black_box(permits.acquire().await).ok(); }),
    call!("semaphore_try_acquire", { let permits = Semaphore::new(4); }, |_n| {
        black_box(permits.try_acquire_many(2)).ok();
    }),
    call!("semaphore_contended", { let permits = Arc::new(Semaphore::new(2)); }, batch {
        let acquire_often = |_| {
            let permits = permits.clone();
            tokio::spawn(async move {
                for _ in 0..BATCH / 8 {
                    let _held = permits.acquire().await.unwrap();
                    tokio::task::yield_now().await;
                }
            })
        };
        let all: Vec<_> = (0..8).map(acquire_often).collect();
        for each in all {
            each.await.unwrap();
        }
    }),
    call!("once_done", {
        let first = OnceCell::new();
        first.get_or_init(nothing).await;
    }, |_n| { black_box(first.get_or_init(nothing).await); }),
    call!("once_first", {}, |_n| { black_box(OnceCell::new().get_or_init(nothing).await); }),
    // A watched flag.
    call!("event_wait_set", { let (_flag, mut open) = watch::channel(true); }, |_n| {
        while !*open.borrow() {
            open.changed().await.unwrap();
        }
    }),
    call!("event_set_reset", { let (flag, _open) = watch::channel(true); }, |_n| {
        flag.send_replace(true);
        flag.send_replace(false);
    }),
    call!("event_is_set", { let (_flag, open) = watch::channel(true); }, |_n| { black_box(*open.borrow()); }),
    // A Notify keeps one notification.
    call!("condition_notify_none", { let changed = Notify::new(); }, |_n| { changed.notify_waiters(); }),
    call!("barrier_of_two", { let at = Arc::new(Barrier::new(2)); }, batch {
        let arrive_often = |_| {
            let at = at.clone();
            tokio::spawn(async move {
                for _ in 0..BATCH / 2 {
                    at.wait().await;
                }
            })
        };
        let both: Vec<_> = (0..2).map(arrive_often).collect();
        for each in both {
            each.await.unwrap();
        }
    }),
    call!("completion", {}, |n| {
        let (setter, result) = oneshot::channel();
        setter.send(n).unwrap();
        black_box(result.await).ok();
    }),

    call!("now", {}, |_n| { black_box(Instant::now()); }),
    call!("timer_reset", {
        let limit = tokio::time::sleep(HOUR);
        tokio::pin!(limit);
    }, |_n| { limit.as_mut().reset(Instant::now() + HOUR); }),
    call!("ticker_reset", { let mut every = tokio::time::interval(HOUR); }, |_n| { every.reset(); }),

    call!("blocking", {}, |n| { black_box(tokio::task::spawn_blocking(move || n).await).ok(); }),
    call!("stream_send_recv", {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        let mut into = [0; 64];
    }, |_n| {
        here.write_all(&[0; 64]).await.unwrap();
        black_box(there.read(&mut into).await).ok();
    }),
    call!("datagram_send_recv", {
        let (here, there) = UnixDatagram::pair().unwrap();
        let mut into = [0; 64];
    }, |_n| {
        here.send(&[0; 64]).await.unwrap();
        black_box(there.recv(&mut into).await).ok();
    }),
];
