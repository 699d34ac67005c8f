// For objects that a test leaves behind on purpose: LeakSanitizer finds them here.
#pragma once
#include <vector>

template <class T>
T* kept(T* object) {
  static auto& all = *new std::vector<void*>;
  all.push_back(object);
  return object;
}
