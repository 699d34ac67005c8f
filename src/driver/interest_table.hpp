// What an epoll instance watches, and which calls wait for it, by descriptor number.
//
// Two ways to watch. A descriptor that ringo owns (kernel_call::owner), a socket, is registered edge-triggered, and
// stays registered: then a request costs its own system call only. For that the table knows when the socket was found
// empty, or full; an event says that it may not be so any more. Any other descriptor is registered for one event
// (EPOLLONESHOT), and once more for each wait, by a call that looks at the level.
//
// Why no event is missed. (1) A call waits only after an attempt found the descriptor not ready, or if it is registered
// after that (epoll_ctl looks at the level). (2) The kernel reports each edge that comes after the last epoll_wait. So
// if `empty` was set by an attempt while the registration has EPOLLIN, what comes later is an edge of its own. (3) An
// edge that no call waits for clears `empty`, and so the next call is tried at once.
//
// Why no event of an earlier file is taken for a later one's. The number of a closed descriptor is used again. Each
// registration that is new to the kernel gets a new serial, which its events carry; an event with another serial is
// dropped. A trusted registration (no epoll_ctl) is of the same owner, and an owner number is used once. An event that
// is taken wrongly all the same only leads to an attempt, which waits again. And before ringo closes a descriptor, its
// registration is removed: else a forked child's copy of the descriptor would keep it.
//
// No busy loop. An edge is reported once. If two edges in a row come without a call that receives, the registration is
// removed; an edge for a direction that no call waits for, beside one for which a call waits, takes that direction out.
// The events of the other way are reported once for each wait.
//
// An idle connection. Most calls that wait are receives of sockets, which can be asked for again. One of them for each
// descriptor waits without a begun_call: the table has the request (`idle`).
//
// Invariants when no function of the table runs (check()):
// - a call is in the list of its descriptor => it waits there, and its events are armed or the descriptor is to be
//   armed;
// - `armed` is a subset of what the kernel watches, unless the program has closed the descriptor behind ringo;
// - `empty` and `full` are used only while the registration has the event that would clear them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "driver/begun_call.hpp"
#include "driver/request_backlog.hpp"

namespace ringo::detail {

class interest_table {
 public:
  explicit interest_table(int epoll) noexcept : epoll_(epoll) {}

  // Before an attempt: makes room for the descriptor, and notes the owner. Returns 0, EBADF or ENOMEM.
  int prepare(const kernel_call& c) noexcept;
  // Whether an attempt could have success, as far as the table knows.
  bool is_worth_trying(const kernel_call& c) const noexcept;
  // Whether it receives from a socket that was found empty: it may wait at once.
  bool is_known_empty(const kernel_call& c) const noexcept;
  // After an attempt. `answer` is null if the call has to wait.
  void note(const kernel_call& c, const kernel_answer* answer) noexcept;

  void wait(begun_call& c) noexcept;
  // Lets the request of this call wait without a begun_call. False: it needs one.
  bool wait_idle(kernel_request& r, const kernel_call& c) noexcept;
  void stop_waiting(begun_call& c) noexcept;
  void stop_waiting_idle(int descriptor) noexcept;
  // The table registers the descriptors that wait for it. The calls of a descriptor that the kernel refuses go to
  // `refused`, with the error as their answer, and its idle request to `idle_refused`.
  void arm(begun_list& refused, request_backlog& idle_refused) noexcept;
  bool has_to_arm() const noexcept { return !to_arm_.empty(); }
  // Takes an event: moves the calls that may go on now to `ready`, and the idle request to `idle_ready`.
  void take(std::uint64_t data, std::uint32_t events, begun_list& ready, request_backlog& idle_ready) noexcept;
  // Before the descriptor is closed.
  void forget(int descriptor) noexcept;

  std::size_t waiting() const noexcept { return waiting_; }
  std::size_t waiting_idle() const noexcept { return waiting_idle_; }
  template <class F>
  void each_idle(F f) {
    for (const interest& i : all_) {
      if (i.idle != nullptr) f(*i.idle);
    }
  }
  void check() const;

 private:
  struct interest {  // small: there is one for each number, also of descriptors that are not watched
    begun_list calls;
    kernel_request* idle = nullptr;  // waits for bytes, without a begun_call
    std::uint32_t serial = 0;        // of the registration
    std::uint32_t owner = 0;
    std::uint16_t armed = 0;    // the events that will be reported; 0: none, or not known
    std::uint8_t unwanted = 0;  // edges in a row that no call waited for, and after which none was tried
    bool is_registered : 1 = false;
    bool is_listed : 1 = false;   // in to_arm_
    bool is_tcp : 1 = false;      // if a receive has not filled its buffer, the socket is empty
    bool is_special : 1 = false;  // the peer has ended or sent urgent bytes: now that says nothing any more
    bool empty : 1 = false;       // the last attempt to receive has found nothing more
    bool full : 1 = false;        // the last attempt to send has found no more room
  };

  interest& of(const begun_call& c) noexcept { return all_[static_cast<std::size_t>(c.call.descriptor)]; }
  static bool is_trusted(const interest& i, const kernel_call& c) noexcept {
    return i.owner != 0 && i.owner == c.owner;
  }
  static bool has_calls(const interest& i) noexcept { return !i.calls.empty() || i.idle != nullptr; }
  void list(int descriptor, interest& i) noexcept;
  kernel_request& take_idle(interest& i) noexcept;
  int arm(int descriptor, interest& i) noexcept;  // 0, or an errno
  int control(int operation, int descriptor, interest& i, std::uint32_t events) noexcept;
  void remove(int descriptor, interest& i) noexcept;

  const int epoll_;
  std::vector<interest> all_;
  std::vector<int> to_arm_;  // has room for every descriptor of all_
  std::size_t waiting_ = 0;  // in all lists, and idle
  std::size_t waiting_idle_ = 0;
};

}  // namespace ringo::detail
