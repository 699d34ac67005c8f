// All of ringo, except for files (file.hpp) and processes (process.hpp), whose names clash with those of many programs,
// and TLS (tls.hpp), which is a library of its own.
#pragma once
#include <ringo/detail/cpp20.hpp>

// First the headers that others include, so that the compiler's messages about them do not list the chain of includes.
// clang-format off
#include <ringo/detail/operation.hpp>
#include <ringo/clock.hpp>
#include <ringo/task.hpp>
#include <ringo/channel.hpp>
#include <ringo/go.hpp>
#include <ringo/context.hpp>
#include <ringo/select.hpp>
#include <ringo/group.hpp>
#include <ringo/mutex.hpp>
// clang-format on

#include <ringo/all.hpp>
#include <ringo/barrier.hpp>
#include <ringo/batch.hpp>
#include <ringo/blocking.hpp>
#include <ringo/buffered.hpp>
#include <ringo/chunk.hpp>
#include <ringo/completion.hpp>
#include <ringo/condition.hpp>
#include <ringo/descriptor.hpp>
#include <ringo/endpoint.hpp>
#include <ringo/errors.hpp>
#include <ringo/event.hpp>
#include <ringo/generate.hpp>
#include <ringo/hooks.hpp>
#include <ringo/inspector.hpp>
#include <ringo/latch.hpp>
#include <ringo/leaks.hpp>
#include <ringo/map.hpp>
#include <ringo/merge.hpp>
#include <ringo/named.hpp>
#include <ringo/once.hpp>
#include <ringo/outcome.hpp>
#include <ringo/pipe.hpp>
#include <ringo/ready.hpp>
#include <ringo/recording.hpp>
#include <ringo/resolve.hpp>
#include <ringo/run.hpp>
#include <ringo/select_any.hpp>
#include <ringo/semaphore.hpp>
#include <ringo/shared_mutex.hpp>
#include <ringo/shield.hpp>
#include <ringo/signals.hpp>
#include <ringo/snapshot.hpp>
#include <ringo/take.hpp>
#include <ringo/tcp.hpp>
#include <ringo/tee.hpp>
#include <ringo/testing.hpp>
#include <ringo/time.hpp>
#include <ringo/udp.hpp>
#include <ringo/unix.hpp>
#include <ringo/unix_datagram.hpp>
#include <ringo/wait_group.hpp>
#include <ringo/with_timeout.hpp>
#include <ringo/worker_pool.hpp>
