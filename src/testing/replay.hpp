// Follows the order of resumes of a recording, in a simulation with one worker.
#pragma once
#include <cstdint>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ringo/hooks.hpp>
#include <ringo/recording.hpp>

namespace ringo::detail {

// Numbers of routines depend on the number of workers. So a routine is known by the one that has started it, and as its
// how many-th. It is the simulation's hooks, and hands on to those of the program.
class replay final : public hooks {
 public:
  // Throws std::invalid_argument if the recording does not begin with the start of main.
  replay(const recording& of, hooks* next);

  // The number of the routine that the recording resumes next; 0: it is over, was left, or that one is not started yet.
  std::uint32_t wanted() const noexcept;
  std::uint64_t followed() const noexcept { return next_; }
  void leave() noexcept { was_left_ = true; }  // it cannot be followed any more

  void started(const routine& r, std::uint32_t by) noexcept override;
  void resumed(const routine& r) noexcept override;
  void parked(const routine& r) noexcept override;
  void yielded(const routine& r) noexcept override;
  void ended(const routine& r) noexcept override;

 private:
  // Of a family of numbers: which routine each number is. 0: none.
  struct family {
    std::unordered_map<std::uint32_t, std::size_t> routines;
    std::unordered_map<std::size_t, std::size_t> children;
  };
  std::pair<std::size_t, std::size_t> add_child(family& in, std::uint32_t by);

  std::map<std::pair<std::size_t, std::size_t>, std::size_t> ids_;  // by parent, and as its how many-th
  std::vector<std::size_t> order_;                                  // of the recording's resumes
  std::vector<std::uint32_t> numbers_;                              // here, by id; 0: not started
  family here_;
  std::size_t next_ = 0;
  bool was_left_ = false;
  hooks* const told_;
};

}  // namespace ringo::detail
