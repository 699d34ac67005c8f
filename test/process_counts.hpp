// How many descriptors and threads this process has.
#pragma once
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

inline std::ptrdiff_t entries_of(const char* folder) {
  const std::filesystem::directory_iterator all(folder);
  return std::distance(begin(all), end(all));
}
inline std::ptrdiff_t open_descriptors() { return entries_of("/proc/self/fd"); }
// What they are, for the message of a test that finds too many.
inline std::string list_of_descriptors() {
  std::string text;
  for (const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    text += each.path().filename().string() + ": " + std::filesystem::read_symlink(each, gone).string() + "; ";
  }
  return text;
}
// The kernel's own count: a thread that ends while they are listed can hide another.
inline std::ptrdiff_t threads_of_this_process() {
  std::ifstream status("/proc/self/status");
  const std::string wanted = "Threads:";
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(wanted)) return std::stol(line.substr(wanted.size()));
  }
  return -1;
}
