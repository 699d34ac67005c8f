// The values that were posted to a channel and are not in it yet, in order. From the first post on it is the channel's
// feeder.
//
// A routine, the mover, sends one value after the other. It is started when there is a value and no mover, and ends
// when no value is left. If no runtime has used the channel yet, the outbox is a deferred post. After the channel's
// last handle the outbox is freed, at once or at the end of its mover.
//
// No value is destroyed under `lock_`.
#pragma once
#include <cstddef>
#include <source_location>
#include <utility>

#include <ringo/detail/channel_core.hpp>
#include <ringo/detail/foreign_threads.hpp>
#include <ringo/detail/pointers.hpp>
#include <ringo/task.hpp>

namespace ringo::detail {

class outbox : public channel_feeder, public deferred_post {
 public:
  explicit outbox(channel_core& to) noexcept : deferred_post(to.owner), core_(to) {}
  outbox(const outbox&) = delete;
  outbox& operator=(const outbox&) = delete;
  virtual ~outbox() = default;

  void nobody_receives(channel_core& from) noexcept override;
  void deliver(worker* w) noexcept override;

 protected:
  struct item {
    explicit item(std::source_location at) noexcept : posted_at(at) {}
    virtual ~item() = default;
    item* next = nullptr;
    std::source_location posted_at;
  };
  // The mover's hold, while its frame lives and it has not ended.
  class moving {
   public:
    explicit moving(outbox& of) noexcept : of_(&of) {}
    moving(moving&& from) noexcept : of_(std::exchange(from.of_, nullptr)) {}
    moving& operator=(moving&&) = delete;
    ~moving() {
      if (of_ != nullptr) of_->stop_moving();
    }
    outbox& of() const noexcept { return *of_; }

   private:
    friend class outbox;
    outbox* of_;
  };

  bool add(owned<item> one);  // false: it is dropped, since the channel's runtime has ended
  // Null if there is none: then the mover ends, and from then on the outbox may be gone.
  owned<item> next(moving& in);
  void note_dropped() noexcept { ++dropped_; }  // called by the mover
  virtual task<> move_on(moving in) = 0;

  channel_core& core_;

 private:
  void start_mover(worker& w) noexcept;
  void stop_moving() noexcept;
  void end() noexcept;

  leaf_spin_lock lock_;  // guards the members below
  item* first_ = nullptr;
  item* last_ = nullptr;
  bool moving_ = false;        // a mover runs, will be started, or is deferred
  bool unreceivable_ = false;  // the last handle has gone; the outbox has one
  std::size_t dropped_ = 0;    // by this mover, since the channel was closed
};

template <class T>
class outbox_of final : public outbox {
  struct value_item final : item {
    value_item(T&& v, std::source_location at) : item(at), value(std::move(v)) {}
    T value;
  };

 public:
  using outbox::outbox;

  // Called by a thread that has a handle of the channel.
  static bool post(channel_state<T>& to, T&& value, std::source_location at) {
    owned<item> one(new value_item(std::move(value), at));
    channel_feeder* box = to.feeder();
    if (box == nullptr) {
      owned<outbox_of> made(new outbox_of(to));
      box = to.feed_by_first(*made);
      if (box == made.get()) (void)made.release();
    }
    // Channels with another feeder have no sender handles.
    return static_cast<outbox_of*>(box)->add(std::move(one));
  }

 private:
  task<> move_on(moving in) override {
    outbox_of& self = static_cast<outbox_of&>(in.of());
    while (const owned<item> one = self.next(in)) {
      try {
        co_await in_name_of(one->posted_at, send_operation<T>(static_cast<channel_state<T>*>(&self.core_),
                                                              static_cast<value_item&>(*one).value));
      } catch (const channel_closed&) {
        self.note_dropped();
      } catch (const cancelled&) {  // the runtime ends
        co_return;
      }
    }
  }
};

}  // namespace ringo::detail
