// The requests of an epoll driver, from submit() to the answer.
//
// submit() fills a begun_call (kernel_request::record), under the source's lock, which guards what fill() reads. Until
// its answer it is in one of these places: it was submitted since the last poll() (`submitted_`), waits for its
// descriptor (interest_table), pauses (pause_queue), is carried out by a thread (call_threads), is tried next
// (`ready_`), or has its answer (`answered_`). When there have been enough of them, nothing is allocated.
//
// A receive of a socket that can be asked again needs none while it waits: the table, or `unrecorded_`, has the request
// itself (kernel_request::stage), and `record` is null. There, too, are the requests for which there was no memory.
//
// Invariants, between two calls (check()): in_flight_ counts the requests in all places; the lists' calls say where
// they are.
#pragma once
#include <atomic>
#include <cstddef>
#include <memory>

#include "driver/attempt.hpp"
#include "driver/begun_call.hpp"
#include "driver/call_threads.hpp"
#include "driver/driver.hpp"
#include "driver/interest_table.hpp"
#include "driver/pause_queue.hpp"

namespace ringo::detail {

class epoll_calls : public driver {
 public:
  void submit(kernel_request& r) noexcept override;
  void end_early(kernel_request& r) noexcept override;
  std::size_t in_flight() const noexcept override { return in_flight_.load(std::memory_order_acquire); }

 protected:
  epoll_calls(int epoll, wake_event& wakes)
      : driver(true, true), table_(epoll), threads_(std::make_unique<call_threads>(wakes)) {}

  // Answers what can be answered without a look at epoll, and returns whether that was anything.
  bool serve() noexcept;
  void prepare_to_look() noexcept;  // registers what is not registered yet

  interest_table table_;
  begun_calls calls_;
  pause_queue pauses_;
  std::unique_ptr<call_threads> threads_;
  begun_list submitted_, ready_, answered_;
  request_backlog unrecorded_;  // requests without a begun_call that do not wait
  std::size_t submitted_count_ = 0;
  bool interrupts_ = false;          // a running call of a thread was asked to end
  std::atomic<bool> asks_ = false;   // there is something to do without a look at epoll, or to register; written by
                                     // the owner only, as the next two
  std::atomic<bool> waits_ = false;  // a call waits in the table

 private:
  void complete(kernel_request& r, const kernel_answer& answer) noexcept;
  void complete(begun_call& c, const kernel_answer& answer) noexcept;
  void keep_answer(begun_call& c, const kernel_answer& answer) noexcept;
  bool give_answers() noexcept;
  bool take_done() noexcept;
  bool end_pauses() noexcept;
  bool begin_submitted() noexcept;
  begun_call* record(kernel_request& r) noexcept;
  bool go_on_unrecorded() noexcept;
  bool try_unrecorded(kernel_request& r) noexcept;
  void pause_unrecorded(kernel_request& r, duration length) noexcept;
  void keep_unrecorded(kernel_request& r, kernel_request::unrecorded as) noexcept;
  bool begin(begun_call& c, kernel_answer& answer) noexcept;  // whether it is answered
  attempted try_now(kernel_call& call, bool has_connected, kernel_answer& answer) noexcept;
  void go_on(begun_call& c, attempted how) noexcept;
  void give_to_thread(begun_call& c) noexcept;
  void pause(begun_call& c, duration length) noexcept;
  bool try_ready() noexcept;
  void tell_others() noexcept;
  void check() noexcept;

  std::atomic<std::size_t> in_flight_ = 0;
  unsigned checks_ = 0;
};

}  // namespace ringo::detail
