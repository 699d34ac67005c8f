// What the stages of a pipeline have in common.
//
// A stage is an object that its routines hold together. They run under a context of the stage's own, a child of its
// maker's, and send to outputs; only other routines have handles of those. Three things end a stage, and each lets go
// of the input, so that the end of one stage travels upstream to the next:
//   - Its routines end: the last one closes the outputs.
//   - One of them throws: the first exception cancels the context, and the last routine closes the outputs with it.
//     Later exceptions are dropped; most are `cancelled`. The end of the maker's context, or of the runtime, comes this
//     way, too.
//   - The last receiver of its last output goes: that cancels the context. No routine gets the error.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/channel.hpp>
#include <ringo/context.hpp>

namespace ringo::detail {

// Each stage asserts it for the types that it receives and sends: it keeps the values in coroutine frames, which have
// the alignment of operator new.
template <class... T>
constexpr bool fit_into_frames() {
  static_assert(((alignof(carried<T>) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__) && ...),
                "a pipeline's stage keeps values in coroutine frames, which are not aligned as this type asks for: box "
                "it in a std::unique_ptr");
  return true;
}

// A stage's input is a channel or a receiver.
struct nothing_received {};
template <class In>
struct received : std::type_identity<nothing_received> {};
template <class T>
struct received<channel<T>> : std::type_identity<T> {};
template <class T>
struct received<receiver<T>> : std::type_identity<T> {};
template <class In>
using received_from = typename received<std::remove_cvref_t<In>>::type;
template <class In>
concept stage_input = !std::is_same_v<received_from<In>, nothing_received>;
#define RINGO_SAY_INPUT "the input is a channel or a receiver; generate(range) makes one of a range"

class stage : public channel_feeder {
 public:
  stage(const stage&) = delete;
  stage& operator=(const stage&) = delete;
  virtual ~stage() = default;

  virtual task<> work(std::size_t index) = 0;  // the body of the index-th routine

  void join() noexcept {  // counts a routine, before it can end
    routines_.fetch_add(1, std::memory_order_relaxed);
  }
  void leave() noexcept;
  void note(std::exception_ptr error) noexcept;  // the first one closes the outputs in the end
  void fail(std::exception_ptr error) noexcept;  // the same, and cancels the other routines

 protected:
  // Reports name the call that has made the stage as the place where it waits.
  template <class A>
  awaited_at<A> by_maker(A&& awaited) const noexcept {
    return in_name_of(made_, std::forward<A>(awaited));
  }
  const std::source_location& made_at() const noexcept { return made_; }

  explicit stage(const char* call);  // throws std::logic_error on a thread that is not a worker

  virtual void finish(const std::exception_ptr& error) noexcept = 0;  // releases the input, and closes the outputs

 private:
  template <class T>
  friend class stage_output;
  void nobody_receives(channel_core& from) noexcept override;
  void cancel(worker& w, std::exception_ptr cause) noexcept;
  void drop_reference() noexcept;  // the routines share one, and each output has one

  friend void start_routines(stage& s, std::size_t count, std::source_location where);

  std::source_location made_;
  const std::uint64_t runtime_id_;
  const context context_;
  std::atomic<std::size_t> routines_ = 0;
  std::atomic<std::size_t> references_ = 1;
  std::atomic<std::size_t> outputs_ = 0;  // those that have a receiver
  std::atomic<bool> has_error_ = false;
  std::exception_ptr error_;  // written by the routine that has set has_error_, read by the last one to leave
};

// Counts a routine in a stage, from before it starts until its work is done or its frame is destroyed. The last one to
// leave finishes the stage.
class stage_membership {
 public:
  explicit stage_membership(stage& of) noexcept : of_(&of) { of.join(); }
  stage_membership(stage_membership&& from) noexcept : of_(std::exchange(from.of_, nullptr)) {}
  stage_membership& operator=(stage_membership&&) = delete;
  ~stage_membership();

  stage& of() const noexcept { return *of_; }
  void end() noexcept { std::exchange(of_, nullptr)->leave(); }

 private:
  stage* of_;
};

void start_routines(stage& s, std::size_t count, std::source_location where);

// Opens a new stage's outputs and starts its routines. The stage frees itself when it has ended; at once if this throws
// std::bad_alloc.
template <class Stage>
auto start_stage(Stage* made, std::size_t routines, std::source_location where) {
  stage_membership until_all_have_started(*made);
  auto outputs = made->open();
  start_routines(*made, routines, where);
  until_all_have_started.end();
  return outputs;
}

// An output of a stage, to which only the stage sends.
template <class T>
class stage_output {
  // Gives access to a channel's core.
  struct channel_with_core : channel<T> {
    using channel<T>::channel;
    channel_state<carried<T>>* core() const noexcept { return this->core_; }
  };

 public:
  explicit stage_output(stage& of) noexcept : of_(&of) {}
  stage_output(stage_output&& from) noexcept : of_(from.of_), core_(std::exchange(from.core_, nullptr)) {}
  stage_output& operator=(stage_output&&) = delete;

  // Returns the receiving end; once, before the stage starts.
  receiver<T> open(std::size_t capacity) {
    const channel_with_core both(capacity);
    receiver<T> end(both);
    core_ = both.core();
    core_->feed_by(*of_);
    of_->references_.fetch_add(1, std::memory_order_relaxed);
    of_->outputs_.fetch_add(1, std::memory_order_relaxed);
    return end;
  }

  // As a channel's send(T&&). Throws channel_closed when the last receiver has gone.
  send_operation<carried<T>> send(carried<T>& value) const noexcept { return send_operation<carried<T>>(core_, value); }
  // As a channel's emplace(): copies or moves the value at once.
  template <class V>
  send_value_operation<carried<T>> offer(V&& value) const {
    return send_value_operation<carried<T>>(core_, std::in_place, std::forward<V>(value));
  }
  bool abandoned() const noexcept { return core_->closed(); }

  void finish(const std::exception_ptr& error) noexcept {
    if (channel_state<carried<T>>* const core = std::exchange(core_, nullptr)) {
      core->try_close(error);
      if (core->stop_feeding()) of_->drop_reference();
    }
  }

 private:
  stage* of_;
  channel_state<carried<T>>* core_ = nullptr;
};

// The value in the result of recv(), to be sent on.
template <class T>
T& to_send(std::optional<T>& received) noexcept {
  return *received;
}
signal& to_send(bool& received) noexcept;

}  // namespace ringo::detail
