// Keeps a pointer to an object that a test leaves behind on purpose, so that LeakSanitizer does not report it.
#pragma once
#include <vector>

template <class T>
T* kept(T* object) {
  static auto& all = *new std::vector<void*>;
  all.push_back(object);
  return object;
}
