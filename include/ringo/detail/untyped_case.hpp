// Operations and cases without their types: each has a table of its functions. So the code that all operations, and all
// selects, share is in the library once. The hot paths call the functions by their types.
#pragma once
#include <concepts>
#include <cstddef>
#include <type_traits>

#include <ringo/detail/case_protocol.hpp>
#include <ringo/detail/routine.hpp>

namespace ringo::detail {

class lock_set;

// What an operation that waits alone needs (case_protocol.hpp). The first argument is the operation's parked_operation.
struct wait_functions {
  spin_lock* (*lock)(void*);
  bool (*commit)(void*, worker&, bool shared, routine*& woken);
  void (*link)(void*, worker&, routine&);
  bool (*unlink)(void*);
  void (*dispose)(void*);
  void (*discard)(void*);
  void (*check)(void*);
  void (*describe)(const parked_operation&, wait_report&);
  progress& (*state)(void*);
};
struct untyped_operation {
  parked_operation* of;
  const wait_functions* its;

  progress& state() const noexcept { return its->state(of); }
};

// What a case of a select needs. The first argument is the case; of an operation, its parked_operation.
struct case_functions {
  void (*enter)(void*, worker*);
  spin_lock* (*lock)(void*);  // null: it has several
  std::size_t (*places)(void*);
  void (*add_locks)(void*, lock_set&);
  bool (*ready)(void*, worker&);
  bool (*looks_ready)(void*, worker&);  // null: it has no look without its lock
  bool (*commit)(void*, worker&, bool shared, routine*& woken);
  void (*link)(void*, worker&, routine&);
  bool (*unlink)(void*);
  void (*leave)(void*);
  progress (*current_state)(void*);
  void (*discard)(void*);
  void (*append_to)(const void*, wait_report&);
  void (*check)(void*);
};
struct untyped_case {
  void* of;
  const case_functions* its;
};

// The functions of this type serve all types that derive from it (operation::protocol_type).
template <class C>
struct protocol_of : std::type_identity<C> {};
template <class C>
requires requires { typename C::protocol_type; }
struct protocol_of<C> : std::type_identity<typename C::protocol_type> {};

template <class C>
C& typed(void* of) noexcept {
  if constexpr (std::derived_from<C, parked_operation>) {
    return static_cast<C&>(*static_cast<parked_operation*>(of));
  } else {
    return *static_cast<C*>(of);
  }
}
template <class C>
void* without_type(C& c) noexcept {
  if constexpr (std::derived_from<C, parked_operation>) {
    return static_cast<parked_operation*>(&c);
  } else {
    return &c;
  }
}

// Each function of a type once, whichever tables refer to it.
template <class C>
struct functions_of {
  static void enter(void* c, worker* w) { typed<C>(c).enter(w); }
  static spin_lock* lock(void* c) { return typed<C>(c).lock(); }
  static std::size_t places(void* c) { return typed<C>(c).places(); }
  static void add_locks(void* c, lock_set& locks) { typed<C>(c).add_locks(locks); }
  static bool ready(void* c, worker& w) { return typed<C>(c).ready(w); }
  static bool looks_ready(void* c, worker& w) { return typed<C>(c).looks_ready(w); }
  static bool commit(void* c, worker& w, bool shared, routine*& woken) { return typed<C>(c).commit(w, shared, woken); }
  static void link(void* c, worker& w, routine& r) { typed<C>(c).link(w, r); }
  static bool unlink(void* c) { return typed<C>(c).unlink(); }
  static void dispose(void* c) { typed<C>(c).dispose(); }
  static void leave(void* c) { typed<C>(c).leave(); }
  static progress current_state(void* c) { return typed<C>(c).current_state(); }
  static void discard(void* c) { typed<C>(c).discard(); }
  static void append_to(const void* c, wait_report& report) { typed<C>(const_cast<void*>(c)).append_to(report); }
  static void describe(const parked_operation& c, wait_report& report) { static_cast<const C&>(c).append_to(report); }
  static progress& state(void* c) { return static_cast<wait_case&>(typed<C>(c)).state; }
  static void check(void* c) {
    if constexpr (requires { typed<C>(c).check_source(); }) typed<C>(c).check_source();
  }
};

template <class C>
constexpr case_functions make_case_functions() {
  using its = functions_of<C>;
  case_functions all = {};
  all.enter = its::enter;
  if constexpr (has_one_lock<C>) {
    all.lock = its::lock;
    if constexpr (looks_without_lock<C>) all.looks_ready = its::looks_ready;
  } else {
    all.places = its::places;
    all.add_locks = its::add_locks;
  }
  all.ready = its::ready;
  all.commit = its::commit;
  all.link = its::link;
  all.unlink = its::unlink;
  all.leave = its::leave;
  all.current_state = its::current_state;
  all.discard = its::discard;
  all.append_to = its::append_to;
  all.check = its::check;
  return all;
}
template <class C>
inline constexpr case_functions case_functions_of = make_case_functions<C>();

template <class C>
constexpr wait_functions make_wait_functions() {
  using its = functions_of<C>;
  return {its::lock,    its::commit, its::link,     its::unlink, its::dispose,
          its::discard, its::check,  its::describe, its::state};
}
template <class C>
inline constexpr wait_functions wait_functions_of = make_wait_functions<C>();

template <class C>
RINGO_ALWAYS_INLINE inline untyped_case untyped(C& c) noexcept {
  using type = typename protocol_of<C>::type;
  return {without_type(static_cast<type&>(c)), &case_functions_of<type>};
}

}  // namespace ringo::detail
