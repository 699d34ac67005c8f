#include "platform/environment_variable.hpp"

#include <stdlib.h>
#include <unistd.h>

#include "platform/escaped.hpp"

namespace ringo::detail {

std::string_view environment_variable(const char* name) noexcept {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): a program that sets variables in another thread meanwhile is wrong anyway
  const char* const value = ::secure_getenv(name);
  return value != nullptr ? value : "";
}

std::string unused_variable(const char* name, std::string_view value, std::string_view why) {
  if (constexpr std::string_view us = "ringo: "; why.starts_with(us)) why.remove_prefix(us.size());
  std::string text = std::string(name) + " in the environment is \"";
  append_printable(text, value);
  text += "\", and is not used: ";
  append_printable(text, why);
  return text;
}

std::string with_process_number(std::string_view text) {
  std::string with(text);
  if (const std::size_t at = with.find("%p"); at != std::string::npos) with.replace(at, 2, std::to_string(::getpid()));
  return with;
}

}  // namespace ringo::detail
