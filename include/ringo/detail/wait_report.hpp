// What a parked operation says of its wait, for snapshots and dumps.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ringo::detail {

// An object that routines wait for.
struct reported_object {
  static constexpr std::size_t unknown = ~std::size_t{0};

  const void* at;          // tells it from other objects
  const char* kind;        // "channel"
  std::string state = {};  // "capacity 8, open"
  std::string as = {};     // "tcp 10.0.0.7:4711"; empty: its kind with the name that named() gave it, or its address
  std::size_t length = unknown;
  std::size_t capacity = unknown;
  std::uint32_t owner = 0;  // the number of the routine that holds the object, or that is the object; 0: not known
  // Of a channel: how many handles it has; unknown if the kernel or the clock feeds it, too. For the search for leaks.
  std::size_t handles = unknown;
};

// An operation appends text and objects in the order in which a sentence names them: "receive on ", the channel.
// Nothing of it is inline: each operation has such code, and g++ would inline less of what is hot.
class wait_report {
 public:
  wait_report& operator+=(std::string_view words);
  wait_report& operator+=(reported_object o);
  void add(const void* object, const char* kind, std::string as = {});
  void add_never(std::string_view words);             // of a case that only a cancellation ends
  void next_case(std::string_view separator = ", ");  // between two cases of one wait

  // "receive on channel 0x5581 (capacity 8, open)".
  const std::string& text() const noexcept { return text_; }
  // The same for all objects of a kind: "receive on a channel".
  const std::string& general() const noexcept { return general_; }
  const std::vector<reported_object>& objects() const noexcept { return objects_; }
  // Whether each case names its object, or never ends. Else something that is not in the list may end the wait.
  bool is_complete() const noexcept { return earlier_are_named_ && case_is_named_; }

 private:
  std::string text_, general_;
  std::vector<reported_object> objects_;
  bool earlier_are_named_ = true, case_is_named_ = false;
};

}  // namespace ringo::detail
