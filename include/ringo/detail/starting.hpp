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
#define RINGO_STARTS_WITH(N, condition, name, qualifiers, how)                                                     \
  template <class F RINGO_CLASSES_##N>                                                                             \
  requires condition<F RINGO_TYPES_##N>                                                                            \
  auto name(F&& f RINGO_PARAMETERS_##N, std::source_location where = std::source_location::current()) qualifiers { \
    return how(where, std::forward<F>(f) RINGO_FORWARDED_##N);                                                     \
  }

#define RINGO_CLASSES_0
#define RINGO_TYPES_0
#define RINGO_PARAMETERS_0
#define RINGO_FORWARDED_0
#define RINGO_CLASSES_1 RINGO_CLASSES_0, class A1
#define RINGO_TYPES_1 RINGO_TYPES_0, A1
#define RINGO_PARAMETERS_1 RINGO_PARAMETERS_0, A1&& a1
#define RINGO_FORWARDED_1 RINGO_FORWARDED_0, std::forward<A1>(a1)
#define RINGO_CLASSES_2 RINGO_CLASSES_1, class A2
#define RINGO_TYPES_2 RINGO_TYPES_1, A2
#define RINGO_PARAMETERS_2 RINGO_PARAMETERS_1, A2&& a2
#define RINGO_FORWARDED_2 RINGO_FORWARDED_1, std::forward<A2>(a2)
#define RINGO_CLASSES_3 RINGO_CLASSES_2, class A3
#define RINGO_TYPES_3 RINGO_TYPES_2, A3
#define RINGO_PARAMETERS_3 RINGO_PARAMETERS_2, A3&& a3
#define RINGO_FORWARDED_3 RINGO_FORWARDED_2, std::forward<A3>(a3)
#define RINGO_CLASSES_4 RINGO_CLASSES_3, class A4
#define RINGO_TYPES_4 RINGO_TYPES_3, A4
#define RINGO_PARAMETERS_4 RINGO_PARAMETERS_3, A4&& a4
#define RINGO_FORWARDED_4 RINGO_FORWARDED_3, std::forward<A4>(a4)
#define RINGO_CLASSES_5 RINGO_CLASSES_4, class A5
#define RINGO_TYPES_5 RINGO_TYPES_4, A5
#define RINGO_PARAMETERS_5 RINGO_PARAMETERS_4, A5&& a5
#define RINGO_FORWARDED_5 RINGO_FORWARDED_4, std::forward<A5>(a5)
#define RINGO_CLASSES_6 RINGO_CLASSES_5, class A6
#define RINGO_TYPES_6 RINGO_TYPES_5, A6
#define RINGO_PARAMETERS_6 RINGO_PARAMETERS_5, A6&& a6
#define RINGO_FORWARDED_6 RINGO_FORWARDED_5, std::forward<A6>(a6)
#define RINGO_CLASSES_7 RINGO_CLASSES_6, class A7
#define RINGO_TYPES_7 RINGO_TYPES_6, A7
#define RINGO_PARAMETERS_7 RINGO_PARAMETERS_6, A7&& a7
#define RINGO_FORWARDED_7 RINGO_FORWARDED_6, std::forward<A7>(a7)
#define RINGO_CLASSES_8 RINGO_CLASSES_7, class A8
#define RINGO_TYPES_8 RINGO_TYPES_7, A8
#define RINGO_PARAMETERS_8 RINGO_PARAMETERS_7, A8&& a8
#define RINGO_FORWARDED_8 RINGO_FORWARDED_7, std::forward<A8>(a8)
