// Names that users give to objects and routines, for reports. They are in a table of the process, by address: an object
// without a name has no more than a bit that says so, and its destructor looks at that bit.
#pragma once
#include <string>
#include <utility>

namespace ringo::detail {

// What named() makes: the first argument of the constructor of an object that gets that name.
class object_name {
 public:
  explicit object_name(std::string text) noexcept : text_(std::move(text)) {}
  const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

// Any thread. `object` is the address by which reports tell the object from others.
void set_name(const void* object, const std::string& name);  // in place of an earlier one. Throws: std::bad_alloc
void forget_name(const void* object) noexcept;
std::string name_of(const void* object);  // empty: it has none

}  // namespace ringo::detail
