// RINGO_INSPECT in the environment: an inspector for any program, while it runs.
#pragma once

namespace ringo::detail {

class warnings;

// A run of a program's runtime. The first of those that run at a time starts the inspector, if the variable asks for
// one, and the last one ends it. An inspector that cannot be started is a warning, once in a process. It is defined in
// inspector/environment.cpp, which a program with a runtime thereby contains. Thread: any.
class inspected_run {
 public:
  explicit inspected_run(warnings& told);
  inspected_run(const inspected_run&) = delete;
  inspected_run& operator=(const inspected_run&) = delete;
  ~inspected_run();

 private:
  bool is_counted_ = false;
};

}  // namespace ringo::detail
