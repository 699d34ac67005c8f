// Cases that are made of one operation, and change its result: by the handler of on(), or in a way of their own.
#pragma once
#include <cstddef>
#include <type_traits>
#include <utility>

#include <ringo/detail/awaited.hpp>
#include <ringo/detail/compilers.hpp>
#include <ringo/detail/wait_for_many.hpp>

namespace ringo::detail {

// A case that changes the result of an operation in take(). All of it is inlined: a select calls it for each case.
template <class Kept>
class forwarding_case {
  using operation_type = std::remove_reference_t<Kept>;

 public:
  static constexpr bool owns_its_state = owns_state<Kept>;
  using result_type = typename operation_type::result_type;
  using case_tag =
      std::conditional_t<case_operation<operation_type>, void, operation_type>;  // a task is no case by itself

  template <class O>
  RINGO_ALWAYS_INLINE explicit forwarding_case(std::in_place_t, O&& o) : operation_(keep(std::forward<O>(o))) {}
  RINGO_ALWAYS_INLINE forwarding_case(forwarding_case&&) = default;
  RINGO_ALWAYS_INLINE forwarding_case& operator=(forwarding_case&&) = default;
  RINGO_ALWAYS_INLINE ~forwarding_case() = default;

  operation_type& operation() noexcept { return operation_; }

  RINGO_ALWAYS_INLINE void enter(worker* w) noexcept(noexcept(std::declval<operation_type&>().enter(w))) {
    operation_.enter(w);
  }
  auto lock() noexcept requires requires(operation_type& o) { o.lock(); }
  {
    return operation_.lock();
  }
  std::size_t places() noexcept { return places_of(operation_); }
  void add_locks(lock_set& locks) noexcept { add_locks_of(operation_, locks); }
  RINGO_ALWAYS_INLINE bool ready(worker& w) { return operation_.ready(w); }
  RINGO_ALWAYS_INLINE bool looks_ready(worker& w) requires looks_without_lock<operation_type>
  {
    return operation_.looks_ready(w);
  }
  RINGO_ALWAYS_INLINE glance look_shared(worker& w) noexcept requires looks_from_here<operation_type>
  {
    return operation_.look_shared(w);
  }
  RINGO_ALWAYS_INLINE bool commit(worker& w, bool shared, routine*& woken) {
    return operation_.commit(w, shared, woken);
  }
  RINGO_ALWAYS_INLINE void link(worker& w, routine& r) { operation_.link(w, r); }
  void check_source() { check_source_of(operation_); }
  bool unlink() noexcept { return operation_.unlink(); }
  RINGO_ALWAYS_INLINE void leave() noexcept { operation_.leave(); }
  void discard() noexcept { operation_.discard(); }
  RINGO_ALWAYS_INLINE progress current_state() noexcept { return operation_.current_state(); }
  decltype(auto) take() { return operation_.take(); }
  void append_to(wait_report& text) const { operation_.append_to(text); }

 protected:
  Kept operation_;
};

// An operation, and the handler of its result.
template <class Operation, class F>
class handled_case : public forwarding_case<Operation> {
  using operation_type = std::remove_reference_t<Operation>;
  using yielded = typename forwarding_case<Operation>::result_type;
  template <class R>
  struct returned {
    using type = std::invoke_result_t<std::remove_reference_t<F>&, R>;
  };
  template <class R>
  requires std::is_void_v<R>
  struct returned<R> {
    using type = std::invoke_result_t<std::remove_reference_t<F>&>;
  };

 public:
  using result_type = typename returned<yielded>::type;

  template <class O, class G>
  RINGO_ALWAYS_INLINE handled_case(std::in_place_t, O&& o, G&& handler)
      : forwarding_case<Operation>(std::in_place, std::forward<O>(o)), handler_(std::forward<G>(handler)) {}
  RINGO_ALWAYS_INLINE handled_case(handled_case&&) = default;
  RINGO_ALWAYS_INLINE handled_case& operator=(handled_case&&) = default;
  RINGO_ALWAYS_INLINE ~handled_case() = default;

  std::remove_reference_t<F>& handler() noexcept { return handler_; }

  RINGO_ALWAYS_INLINE glance look_alone(worker& w) noexcept requires decides_alone<operation_type>
  {
    return this->operation_.look_alone(w);
  }
  RINGO_ALWAYS_INLINE progress settle(worker& w) requires decides_alone<operation_type>
  {
    return this->operation_.settle(w);
  }
  RINGO_RETURNS_TASK RINGO_ALWAYS_INLINE result_type result_after(progress p) requires decides_alone<operation_type>
  {
    if constexpr (std::is_void_v<yielded>) {
      this->operation_.result_after(p);
      return handler_();
    } else {
      return handler_(this->operation_.result_after(p));
    }
  }
  RINGO_RETURNS_TASK result_type take() {
    if constexpr (std::is_void_v<yielded>) {
      this->operation_.take();
      return handler_();
    } else {
      return handler_(this->operation_.take());
    }
  }

 private:
  F handler_;
};

// What on() returns for an operation that can be made from its origin: the select makes the case in its place.
template <class Operation>
concept has_origin = requires(const Operation& o) {
  Operation(o.origin());
  requires std::is_trivially_copyable_v<decltype(o.origin())>;
};
template <class Operation, class F>
class handled_origin {
 public:
  using result_type = typename handled_case<Operation, F>::result_type;

  template <class G>
  RINGO_ALWAYS_INLINE handled_origin(const Operation& operation, G&& handler)
      : origin_(operation.origin()), handler_(std::forward<G>(handler)) {}

  RINGO_ALWAYS_INLINE handled_case<Operation, F> as_case() && {
    return handled_case<Operation, F>(std::in_place, Operation(origin_), static_cast<F&&>(handler_));
  }
  RINGO_ALWAYS_INLINE handled_case<Operation, F&> as_case() & {
    return handled_case<Operation, F&>(std::in_place, Operation(origin_), handler_);
  }

 private:
  decltype(std::declval<const Operation&>().origin()) origin_;
  F handler_;
};

}  // namespace ringo::detail
