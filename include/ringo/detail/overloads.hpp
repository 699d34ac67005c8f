// A callable and its arguments, for functions that note where they are called: a default argument cannot follow a
// parameter pack, so each such function has one overload for each number of arguments from 0 to 6. It defines
// RINGO_OVERLOAD(N) by the macros below, and declares all by RINGO_OVERLOADS(RINGO_OVERLOAD).
#pragma once

#define RINGO_CLASSES_0 class F
#define RINGO_TYPES_0 F
#define RINGO_PARAMETERS_0 F&& f
#define RINGO_FORWARDED_0 std::forward<F>(f)
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
#define RINGO_OVERLOADS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6)
