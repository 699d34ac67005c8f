// A temporary folder. The destructor removes it with its contents.
#pragma once
#include <stdlib.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

class folder {
 public:
  folder() {
    std::string path = (std::filesystem::temp_directory_path() / "ringo_test_XXXXXX").string();
    if (::mkdtemp(path.data()) == nullptr) std::abort();
    path_ = path;
  }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  ~folder() { std::filesystem::remove_all(path_); }
  std::string operator/(std::string_view name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }
  std::string fifo(const std::string& name) const {
    const std::string path = *this / name;
    if (::mkfifo(path.c_str(), 0600) != 0) std::abort();
    return path;
  }

 private:
  std::filesystem::path path_;
};
