// The message of the error that an exception_ptr or an outcome holds, to compare with.
#pragma once

#include <exception>
#include <ringo/ringo.hpp>
#include <string>

inline std::string told(const std::exception_ptr& error) {
  if (!error) return "nothing";
  try {
    std::rethrow_exception(error);
  } catch (const ringo::cancelled&) {
    return "cancelled";
  } catch (const ringo::timed_out&) {
    return "timed out";
  } catch (const std::exception& e) {
    return e.what();
  }
}

// What f throws.
template <class F>
std::string error_thrown_by(F f) {
  try {
    f();
  } catch (...) {
    return told(std::current_exception());
  }
  return "nothing";
}

template <class T>
std::string told(const ringo::outcome_of<T>& o) {
  return o ? "value" : told(o.error());
}
