// How functions that start routines are declared: go, group::go, worker_pool::submit and their like note where they are
// called, by a default argument, which cannot follow a parameter pack. So there is one overload for each number of
// arguments from 0 to 8, and all of them are written once, here.
//
//   RINGO_STARTS(condition, name, qualifiers, how)
//
// declares name(f, args...), for F and A... that satisfy the concept `condition`, as how(where, f, args...).
#pragma once

#define RINGO_STARTS(condition, name, qualifiers, how)   \
  RINGO_STARTS_WITH(0, condition, name, qualifiers, how) \
  RINGO_STARTS_WITH(1, condition, name, qualifiers, how) \
  RINGO_STARTS_WITH(2, condition, name, qualifiers, how) \
  RINGO_STARTS_WITH(3, condition, name, qualifiers, how) \
  RINGO_STARTS_WITH(4, condition, name, qualifiers, how) \
  RINGO_STARTS_WITH(5, condition, name, qualifiers, how) \
  RINGO_STARTS_WITH(6, condition, name, qualifiers, how) \
  RINGO_STARTS_WITH(7, condition, name, qualifiers, how) \
  RINGO_STARTS_WITH(8, condition, name, qualifiers, how)
#define RINGO_STARTS_WITH(N, condition, name, qualifiers, how)                                                   \
  template <class F RINGO_EACH_##N(RINGO_CLASS)>                                                                 \
  requires condition<F RINGO_EACH_##N(RINGO_TYPE)>                                                               \
  auto name(F&& f RINGO_EACH_##N(RINGO_PARAMETER), std::source_location where = std::source_location::current()) \
      qualifiers {                                                                                               \
    return how(where, std::forward<F>(f) RINGO_EACH_##N(RINGO_FORWARDED));                                       \
  }

#define RINGO_CLASS(n) , class A##n
#define RINGO_TYPE(n) , A##n
#define RINGO_PARAMETER(n) , A##n&& a##n
#define RINGO_FORWARDED(n) , std::forward<A##n>(a##n)
#define RINGO_EACH_0(of)
#define RINGO_EACH_1(of) RINGO_EACH_0(of) of(1)
#define RINGO_EACH_2(of) RINGO_EACH_1(of) of(2)
#define RINGO_EACH_3(of) RINGO_EACH_2(of) of(3)
#define RINGO_EACH_4(of) RINGO_EACH_3(of) of(4)
#define RINGO_EACH_5(of) RINGO_EACH_4(of) of(5)
#define RINGO_EACH_6(of) RINGO_EACH_5(of) of(6)
#define RINGO_EACH_7(of) RINGO_EACH_6(of) of(7)
#define RINGO_EACH_8(of) RINGO_EACH_7(of) of(8)
