// Another limit of descriptors for this process, until its scope ends on whichever way.
#pragma once
#include <doctest/doctest.h>
#include <sys/resource.h>

class descriptor_limit {
 public:
  explicit descriptor_limit(rlim_t count) {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    const rlimit wanted{count < before_.rlim_max ? count : before_.rlim_max, before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &wanted) == 0);
    count_ = wanted.rlim_cur;
  }
  descriptor_limit(const descriptor_limit&) = delete;
  descriptor_limit& operator=(const descriptor_limit&) = delete;
  ~descriptor_limit() { ::setrlimit(RLIMIT_NOFILE, &before_); }

  rlim_t count() const noexcept { return count_; }

 private:
  rlimit before_{};
  rlim_t count_ = 0;
};
