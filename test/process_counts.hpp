// How many descriptors and threads this process has.
#pragma once
#include <cstddef>
#include <filesystem>
#include <iterator>

inline std::ptrdiff_t entries_of(const char* folder) {
  const std::filesystem::directory_iterator all(folder);
  return std::distance(begin(all), end(all));
}
inline std::ptrdiff_t open_descriptors() { return entries_of("/proc/self/fd"); }
inline std::ptrdiff_t threads_of_this_process() { return entries_of("/proc/self/task"); }
