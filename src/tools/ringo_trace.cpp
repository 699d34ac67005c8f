// ringo-trace: converts a file of a recording for Perfetto and Chrome, or sums it up.
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>

#include <ringo/recording.hpp>

namespace {

constexpr const char* usage =
    "Usage: ringo-trace FILE [-o TRACE]    writes FILE as JSON for ui.perfetto.dev and chrome://tracing\n"
    "       ringo-trace --summary FILE     sums it up: the workers, the longest resumes, delays and waits\n"
    "FILE is what runtime_options::recorder_file, RINGO_RECORD or runtime::write_recording has written, or the\n"
    "inspector's /recording gives.\n";

bool write(std::FILE* to, std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), to) == text.size() && std::fflush(to) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::string file, output;
  bool sums_up = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--summary") {
      sums_up = true;
    } else if (argument == "-o" && i + 1 < argc) {
      output = argv[++i];
    } else if (file.empty() && (!argument.starts_with('-') || argument == "-")) {
      file = argument;
    } else {
      std::fputs(usage, stderr);
      return 2;
    }
  }
  if (file.empty()) {
    std::fputs(usage, stderr);
    return 2;
  }
  try {
    const ringo::recording made = ringo::read_recording(file);
    std::FILE* const to = output.empty() ? stdout : std::fopen(output.c_str(), "we");
    const bool written = to != nullptr && write(to, sums_up ? to_text(made) : to_chrome_trace(made));
    if (!written) std::perror(output.empty() ? "ringo-trace" : output.c_str());
    return written ? 0 : 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "ringo-trace: %s\n", e.what());
    return 1;
  }
}
