// Recordings that are written when the process dies of a signal.
#pragma once

namespace ringo::detail {

class recorder;

// While a recorder is listed, the signals of a crash have a handler of ringo's, which writes its file, and then does
// what would have happened without it: the program's handler, or the process's end. It does so once; later signals go
// to the program's handler alone.
struct crash_recordings {
  static void add(recorder& one);
  static void remove(recorder& one) noexcept;  // waits for a handler that runs
};

}  // namespace ringo::detail
