// How all operations on descriptors are awaited: those of streams, listeners and datagram sockets, and close().
//
// A request is the case itself: a waiter in a queue of its source, which also holds the question and, when it has won,
// the answer. The source stands between the requests and the kernel (src/io/descriptor_core.hpp).
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include <ringo/detail/destroyed.hpp>
#include <ringo/detail/operation.hpp>
#include <ringo/detail/ownership.hpp>
#include <ringo/detail/section.hpp>

namespace ringo::detail {

// A request waits for data to come in, for data to go out, or for the close. A source has a queue for each side, and
// serves it from the front only.
enum class io_side : std::uint8_t { in, out, close };

struct io_request : waiter {
  explicit io_request(io_side s) noexcept : side(s) {}

  io_side side;
  bool counts = false;      // it is one of the source's uses: from begin(), or from commit() if it acts or has failed,
                            // until take(), discard() or end()
  bool acts = false;        // it has won, and its routine is to make a system call: in act_first() or take()
  bool goes_first = false;  // act_first() has begun it, and it keeps its side's turn until it waits
  int failure = 0;          // an errno or a reason (outside_error.hpp); 0: the request has not failed
};

// A descriptor as its operations and handles see it: its lock, its owner and its life.
//
// Life. An atomic counts the handles, since any thread may drop one; the last one to go closes the descriptor. All else
// that refers to the source is a use, counted under the lock: a request that waits, or a worker that was asked to end
// an operation early. The section that finds the source unused deletes it; an unused source stays unused.
//
// It is no `source` (source.hpp): between live and unused the kernel has its say (invariants.md has the states), and a
// request that has lost counts as a use from its beginning, so no waker has to detach it.
class descriptor_source {
 public:
  descriptor_source(const descriptor_source&) = delete;
  descriptor_source& operator=(const descriptor_source&) = delete;
  virtual ~descriptor_source() = default;

  // Without the lock.
  void enter(const worker* w, const char* call);  // throws std::logic_error in a simulation, and in another runtime
  // r has won, and acts: its routine makes the system call now. False: the kernel has not taken all, and r waits; until
  // then it stays a use, for the peer may have its first bytes already, and a routine that sees them may end the
  // stream.
  bool act_first(io_request& r) noexcept;
  void take(io_request& r);              // r has won; throws if it has failed
  void discard(io_request& r) noexcept;  // r has won; gives its answer back to the source, if possible
  void add_handle() noexcept { handles_.fetch_add(1, std::memory_order_relaxed); }
  bool try_add_handle() noexcept;  // false: no handle is left
  void drop_handle() noexcept;     // any thread; from one that is no worker the descriptor is closed soon after
  int descriptor() const noexcept { return number_; }
  virtual std::string name() const = 0;  // for errors and reports
  void append_to(wait_report& report, const char* kind) const;

  // Under the lock. A request that is not queued is ready only while no other request waits on its side. If it is not
  // ready, the source asks the kernel, so that a later try succeeds.
  bool ready(io_request& r, worker& w) noexcept;
  bool commit(io_request& r, worker& w) noexcept;
  void begin(io_request& r, worker& w) noexcept;
  bool end(io_request& r) noexcept;  // true: the source is unused
  void use() noexcept { ++uses_; }
  void disuse() noexcept { --uses_; }
  bool is_open() const noexcept { return state_ == state::open; }
  bool is_closed() const noexcept { return state_ == state::closed; }
  bool unused() const noexcept { return is_closed() && uses_ == 0 && is_dropped_; }

  // Checks the invariants; under the lock, at the end of a section.
  virtual void check() const;

  void end_use() noexcept;                      // without the lock; deletes the source if that was the last use
  void delete_this() noexcept { delete this; }  // without the lock, if it is unused

  spin_lock lock;
  ownership owner;

 protected:
  enum class state : std::uint8_t { open, closing, being_closed, closed };

  explicit descriptor_source(int number) noexcept : number_(number) {}

  // Under the lock, while the descriptor is open.
  virtual bool can(const io_request&) const noexcept { return false; }  // would give() succeed?
  virtual void give(io_request&) noexcept {}                            // sets the request's answer, or its failure
  virtual void ask(io_request&, worker&) noexcept {}  // asks the kernel, for a request that is queued or not ready
  virtual void left(io_request&) noexcept {}          // the request has left its queue, and has not won

  // Without the lock.
  virtual void put_back(io_request&) noexcept {}  // takes the answer of a discarded request back
  // Makes the system call of a request that acts. False, only if it may wait: it has to. If it has not failed, it uses
  // the source no more.
  virtual bool act(io_request&, [[maybe_unused]] bool may_wait) noexcept { return true; }
  [[noreturn]] virtual void fail(const io_request& r) = 0;

  // Under the lock, once.
  virtual void begin_closing(section& here) noexcept = 0;

  wait_queue& waiting(io_side s) noexcept { return waiting_[static_cast<std::size_t>(s)]; }
  const wait_queue& waiting(io_side s) const noexcept { return waiting_[static_cast<std::size_t>(s)]; }
  // Serves the queue, until its first request must wait on. Without a worker it serves none.
  void serve(io_side s, section& here) noexcept;
  void end_all(io_side s, section& here) noexcept;  // the descriptor is being closed: all requests fail
  void give_or_refuse(io_request& r) noexcept;
  static void refuse(io_request& r, int error) noexcept;

  state state_ = state::open;
  bool is_dropped_ = false;  // no handle is left, and the thread that dropped the last one needs the source no more

 private:
  void drop_here(worker* w) noexcept;

  const int number_;
  std::uint32_t uses_ = 0;
  std::atomic<std::uint32_t> handles_ = 0;
  std::array<wait_queue, 3> waiting_;
};

// CRTP base of these operations. Derived has
//   static constexpr const char* call_name      "recv from a stream"
//   static constexpr const char* awaits         "bytes from ": in reports, before the source's name
//   Result result()                             after take(); may be missing if Result is void
// and Request, an io_request, `static constexpr const char* source_noun`.
template <class Derived, class Result, class Request>
class io_operation : public operation<Derived, Result, Request> {
 public:
  void enter(const worker* w) {
    if (source_ == nullptr) [[unlikely]]
      throw_empty_or_ended(Derived::call_name, Request::source_noun);
    source_->enter(w, Derived::call_name);
  }
  spin_lock* lock() noexcept { return &source_->lock; }
  bool ready(worker& w) noexcept { return source_->ready(*this, w); }
  bool commit(worker& w, bool, routine*&) noexcept { return source_->commit(*this, w); }
  void link(worker& w, routine& r) noexcept {
    this->blocked = &r;
    this->set_state(progress::waiting);
    source_->begin(*this, w);
  }
  bool unlink() noexcept {
    if (!won(this->current_state())) this->set_state(progress::idle);
    return source_->end(*this);
  }
  void dispose() noexcept { source_->delete_this(); }
  void check_source() const { source_->check(); }
  Result take() {
    this->set_state(progress::idle);
    source_->take(*this);
    if constexpr (!std::is_void_v<Result>) return this->derived().result();
  }
  void discard() noexcept {
    this->set_state(progress::idle);
    source_->discard(*this);
  }
  void append_to(wait_report& text) const {
    text += Derived::awaits;
    source_->append_to(text, Request::source_noun);
  }

 protected:
  template <class... A>
  explicit io_operation(descriptor_source* of, A&&... asked) noexcept
      : operation<Derived, Result, Request>(std::in_place, std::forward<A>(asked)...), source_(of) {}
  io_operation(const io_operation&) = default;
  io_operation& operator=(const io_operation&) = default;
  ~io_operation() {
    if (this->current_state() != progress::idle) [[unlikely]]
      this->abandon(*this->blocked);
  }

  descriptor_source* source_;
};

struct closing_request : io_request {
  static constexpr const char* source_noun = "object";
  closing_request() noexcept : io_request(io_side::close) {}
};

// The close() of every class that has a descriptor.
class RINGO_AWAITABLE close_operation final : public io_operation<close_operation, void, closing_request> {
 public:
  static constexpr const char* call_name = "close a descriptor";
  static constexpr const char* awaits = "the close of ";
  explicit close_operation(descriptor_source* of) noexcept : io_operation(of) {}
};

// A counted handle of a core that derives from descriptor_source. Core may be incomplete, but for get().
template <class Core>
class descriptor_handle {
 public:
  descriptor_handle() noexcept = default;
  explicit descriptor_handle(descriptor_source* counted) noexcept : source_(counted) {}
  descriptor_handle(descriptor_handle&& from) noexcept : source_(std::exchange(from.source_, nullptr)) {}
  descriptor_handle& operator=(descriptor_handle&& from) noexcept {
    descriptor_handle(std::move(from)).swap(*this);
    return *this;
  }
  ~descriptor_handle() {
    if (source_ != nullptr) std::exchange(source_, nullptr)->drop_handle();
    keep_mark(source_);
  }

  void swap(descriptor_handle& with) noexcept { std::swap(source_, with.source_); }
  descriptor_handle another() const noexcept {
    descriptor_handle same;
    same.source_ = source_;
    if (source_ != nullptr) source_->add_handle();
    return same;
  }
  explicit operator bool() const noexcept { return source_ != nullptr; }
  descriptor_source* source() const noexcept { return source_; }
  Core* get() const noexcept { return static_cast<Core*>(source_); }
  int native_handle() const noexcept { return source_ != nullptr ? source_->descriptor() : -1; }
  close_operation close() const noexcept { return close_operation(source_); }

 private:
  descriptor_source* source_ = nullptr;
};

}  // namespace ringo::detail
