// What the stages of a pipeline have in common.
//
// A stage is an object that its routines hold together. They run under a context of the stage's own, a child of its
// maker's, and send to outputs, of which only others have handles. Three things end a stage, and each lets go of its
// input, so that the end of one travels upstream from stage to stage:
//   - its routines are done: the last one closes the outputs;
//   - one of them throws: the first error cancels the context, and the last routine closes the outputs with it. What
//     others throw after that is dropped: most often they have been cancelled. The end of the maker's context, or of
//     the runtime, comes this way too;
//   - nobody can receive from any of the outputs any more, because the last handle has gone: that cancels the context,
//     quietly, since the error reaches nobody.
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
#include <ringo/task.hpp>

namespace ringo::detail {

// Of each stage, for the types of what it receives and sends: it keeps them in coroutine frames, which are aligned as
// operator new does it.
template <class... T>
constexpr bool fit_into_frames() {
  static_assert(((alignof(carried<T>) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__) && ...),
                "a pipeline's stage keeps values in coroutine frames, which are not aligned as this type asks for: box "
                "it in a std::unique_ptr");
  return true;
}

// What is received from a channel or a receiver.
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
concept no_input = std::is_same_v<received_from<In>, nothing_received>;
#define RINGO_SAY_INPUT "the input is a channel or a receiver; generate(range) makes one of a range"

class stage : public channel_feeder {
 public:
  stage(const stage&) = delete;
  stage& operator=(const stage&) = delete;
  virtual ~stage() = default;

  virtual task<> work(std::size_t index) = 0;  // what the index-th routine does

  void join() noexcept {  // before a routine that is to be counted can end
    routines_.fetch_add(1, std::memory_order_relaxed);
  }
  void leave() noexcept;
  void note(std::exception_ptr error) noexcept;  // closes the outputs in the end, if it is the first
  void fail(std::exception_ptr error) noexcept;  // and ends the others

 protected:
  // The stage awaits in the name of the call that has made it.
  template <class A>
  awaited_at<A> by_maker(A&& awaited) const noexcept {
    return in_name_of(made_, std::forward<A>(awaited));
  }
  const std::source_location& made_at() const noexcept { return made_; }

  explicit stage(const char* call);  // throws std::logic_error on a thread that is no worker

  virtual void finish(const std::exception_ptr& error) noexcept = 0;  // lets go of the input and finishes the outputs

 private:
  template <class T>
  friend class stage_output;
  void nobody_receives(channel_core& from) noexcept override;
  void cancel(worker& w, std::exception_ptr cause) noexcept;
  void drop_reference() noexcept;  // the routines have one together, and each output has one

  friend void start_routines(stage& s, std::size_t count, std::source_location where);

  std::source_location made_;
  const std::uint64_t runtime_id_;
  const context context_;
  std::atomic<std::size_t> routines_ = 0;
  std::atomic<std::size_t> references_ = 1;
  std::atomic<std::size_t> outputs_ = 0;  // from which somebody may receive
  std::atomic<bool> has_error_ = false;
  std::exception_ptr error_;  // written by who has set has_error_, read by the last routine
};

// A part in a stage: a routine's, from before it starts until its work is done or its frame has gone. The last to leave
// finishes the stage.
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

// Opens a new stage's outputs and starts its routines; it goes when it has ended. Throws std::bad_alloc: then it goes
// at once.
template <class Stage>
auto start_stage(Stage* made, std::size_t routines, std::source_location where) {
  stage_membership until_all_have_started(*made);
  auto outputs = made->open();
  start_routines(*made, routines, where);
  until_all_have_started.end();
  return outputs;
}

// Where a stage sends to; its only sender.
template <class T>
class stage_output {
  // The core of a channel, which its handles keep to themselves.
  struct channel_with_core : channel<T> {
    using channel<T>::channel;
    channel_state<carried<T>>* core() const noexcept { return this->core_; }
  };

 public:
  explicit stage_output(stage& of) noexcept : of_(&of) {}
  stage_output(stage_output&& from) noexcept : of_(from.of_), core_(std::exchange(from.core_, nullptr)) {}
  stage_output& operator=(stage_output&&) = delete;

  // The receiving end; once, before the stage starts.
  receiver<T> open(std::size_t capacity) {
    const channel_with_core both(capacity);
    receiver<T> end(both);
    core_ = both.core();
    core_->feed_by(*of_);
    of_->references_.fetch_add(1, std::memory_order_relaxed);
    of_->outputs_.fetch_add(1, std::memory_order_relaxed);
    return end;
  }

  // As a channel's send(T&&). Throws channel_closed where nobody can receive any more.
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

// What recv() yields, as a value to be sent on.
template <class T>
T& to_send(std::optional<T>& received) noexcept {
  return *received;
}
signal& to_send(bool& received) noexcept;

}  // namespace ringo::detail
