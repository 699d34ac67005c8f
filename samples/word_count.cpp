// Counts the words of all files under some folders. It is a pipeline: one routine walks the folders, a pool of workers
// counts the files, and main collects the workers' reports.
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include <getopt.h>
#include <unistd.h>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr const char* help = R"(Usage: word_count [OPTION]... FOLDER...
Counts the words of all files under each FOLDER and prints the most frequent.

  --workers N  how many files are counted at a time (default: one per CPU)
  --top K      how many words are printed (default: 20)
  --help       print this and exit

A word is a longest run of ASCII letters, ASCII digits and bytes of 128 or more
(which is what UTF-8 writes all other letters with). ASCII capitals count as small
letters. Symbolic links are not followed, and only regular files are read. A file
with a zero byte among its first 8192 is binary and is skipped. What cannot be read
is named on standard error and counted, and the rest is counted all the same.
)";

constexpr std::size_t chunk_size = 64 * 1024;
constexpr std::size_t binary_probe = 8192;

struct close_file {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

using word_counts = std::unordered_map<std::string, std::uintmax_t>;

struct settings {
  std::vector<fs::path> folders;
  std::size_t workers = std::max(1U, std::thread::hardware_concurrency());
  std::size_t top = 20;
};

// The counts of one file, or the error of a file or folder that could not be read.
struct report {
  fs::path path = {};
  std::uintmax_t bytes = 0;
  std::uintmax_t words = 0;
  bool binary = false;
  std::error_code error = {};
};

bool is_word_byte(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80;
}

char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Splits a text that arrives in pieces into words. A word may continue in the next piece.
class word_splitter {
 public:
  explicit word_splitter(word_counts& counts) : counts_(counts) {}

  void feed(std::string_view text) {
    for (const char c : text) {
      if (is_word_byte(static_cast<unsigned char>(c))) {
        word_ += to_lower(c);
      } else {
        finish();
      }
    }
  }

  void finish() {
    if (word_.empty()) return;
    ++counts_[word_];
    ++words_;
    word_.clear();
  }

  std::uintmax_t words() const { return words_; }

 private:
  word_counts& counts_;
  std::string word_;
  std::uintmax_t words_ = 0;
};

task<> walk(std::vector<fs::path> folders, sender<fs::path> files, sender<report> reports) {
  while (!folders.empty()) {
    const fs::path folder = std::move(folders.back());
    folders.pop_back();
    std::error_code folder_error;
    for (fs::directory_iterator entry(folder, folder_error), end; entry != end; entry.increment(folder_error)) {
      std::error_code error;
      const fs::file_type type = entry->symlink_status(error).type();
      if (type == fs::file_type::directory) folders.push_back(entry->path());
      if (type == fs::file_type::regular) co_await files.send(entry->path());
      if (error) {
        report failed{.path = entry->path(), .error = error};
        co_await reports.emplace(std::move(failed));
      }
    }
    if (folder_error) {
      report failed{.path = folder, .error = folder_error};
      co_await reports.emplace(std::move(failed));
    }
  }
  files.close();
}

// Reads with a call that blocks this thread until the disk has answered. The other workers go on.
task<report> count_file(fs::path path, word_counts& counts) {
  report result{.path = std::move(path)};
  const std::unique_ptr<std::FILE, close_file> file(std::fopen(result.path.c_str(), "rb"));
  if (!file) {
    result.error.assign(errno, std::generic_category());
    co_return result;
  }

  word_splitter splitter(counts);
  std::vector<char> buffer(chunk_size);
  while (const std::size_t size = std::fread(buffer.data(), 1, buffer.size(), file.get())) {
    const std::string_view chunk(buffer.data(), size);
    if (result.bytes == 0 && chunk.substr(0, binary_probe).find('\0') != chunk.npos) {
      result.binary = true;
      co_return result;
    }
    splitter.feed(chunk);
    result.bytes += size;
    co_await yield();  // so that a large file does not keep the worker for itself
  }
  if (std::ferror(file.get())) result.error.assign(errno, std::generic_category());
  splitter.finish();
  result.words = splitter.words();
  co_return result;
}

// Each worker has a table of its own, so the workers share only the two channels.
task<word_counts> worker(receiver<fs::path> files, sender<report> reports) {
  word_counts counts;
  while (auto file = co_await files.recv()) {
    report result = co_await count_file(std::move(*file), counts);
    co_await reports.emplace(std::move(result));
  }
  co_return counts;
}

// Closes the reports when the last worker has ended, in whichever way.
task<word_counts> join_all(std::vector<handle<word_counts>> pool, sender<report> reports) {
  word_counts all;
  try {
    for (auto& one : pool) {
      const word_counts counts = co_await one;
      for (const auto& [word, count] : counts) all[word] += count;
    }
  } catch (...) {
    reports.close();
    throw;
  }
  reports.close();
  co_return all;
}

void print_top(const word_counts& counts, std::size_t top) {
  std::vector<std::pair<std::uintmax_t, std::string_view>> order;
  order.reserve(counts.size());
  for (const auto& [word, count] : counts) order.emplace_back(count, word);
  top = std::min(top, order.size());
  std::partial_sort(
      order.begin(), order.begin() + static_cast<std::ptrdiff_t>(top), order.end(),
      [](const auto& a, const auto& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });
  order.resize(top);
  for (const auto& [count, word] : order) {
    std::printf("%10ju  %.*s\n", count, static_cast<int>(word.size()), word.data());
  }
}

task<> count_words(settings chosen) {
  const auto start = now();
  const auto seconds = [start] { return std::chrono::duration<double>(now() - start).count(); };
  const bool on_terminal = isatty(STDERR_FILENO) == 1;
  const char* const clear_line = on_terminal ? "\r\033[K" : "";

  channel<fs::path> files(64);
  channel<report> reports(64);
  go(walk, chosen.folders, files, reports);
  std::vector<handle<word_counts>> pool;
  for (std::size_t i = 0; i < chosen.workers; ++i) pool.push_back(go(worker, files, reports));
  handle<word_counts> merged = go(join_all, std::move(pool), reports);

  std::uintmax_t read = 0, bytes = 0, words = 0, binary = 0, unreadable = 0;
  ticker progress(100ms);
  for (;;) {
    auto ready = co_await select(reports.recv(), progress.tick());
    if (ready.index() == 1) {
      if (on_terminal) std::fprintf(stderr, "%sfiles %ju, bytes %ju, seconds %.1f", clear_line, read, bytes, seconds());
      continue;
    }
    const auto& file = std::get<0>(ready);
    if (!file) break;
    bytes += file->bytes;
    words += file->words;
    if (file->error) {
      ++unreadable;
      std::fprintf(stderr, "%sword_count: %s: %s\n", clear_line, file->path.c_str(), file->error.message().c_str());
    } else if (file->binary) {
      ++binary;
    } else {
      ++read;
    }
  }
  const word_counts counts = co_await merged;

  std::fputs(clear_line, stderr);
  print_top(counts, chosen.top);
  std::printf("files %ju, bytes %ju, words %ju (%zu different), seconds %.2f, workers %zu\n", read, bytes, words,
              counts.size(), seconds(), chosen.workers);
  std::printf("skipped: binary %ju, unreadable %ju\n", binary, unreadable);
}

bool parse_number(const char* option, std::string_view text, std::size_t least, std::size_t most, std::size_t& into) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  if (error == std::errc() && end == text.data() + text.size() && into >= least && into <= most) return true;
  std::fprintf(stderr, "word_count: %s takes a number from %zu to %zu, not '%.*s'\n", option, least, most,
               static_cast<int>(text.size()), text.data());
  return false;
}

// The options of the command line, or the status to exit with at once.
std::variant<settings, int> parse(int argc, char** argv) {
  constexpr int usage_error = 2;
  const option options[] = {{"workers", required_argument, nullptr, 'w'},
                            {"top", required_argument, nullptr, 't'},
                            {"help", no_argument, nullptr, 'h'},
                            {}};
  settings chosen;
  for (int found; (found = getopt_long(argc, argv, "", options, nullptr)) != -1;) {
    if (found == 'h') {
      std::fputs(help, stdout);
      return 0;
    }
    const bool valid = (found == 'w' && parse_number("--workers", optarg, 1, 1024, chosen.workers)) ||
                       (found == 't' && parse_number("--top", optarg, 0, SIZE_MAX, chosen.top));
    if (!valid) return usage_error;
  }
  chosen.folders.assign(argv + optind, argv + argc);
  if (chosen.folders.empty()) {
    std::fputs("word_count: which folder? See word_count --help\n", stderr);
    return usage_error;
  }
  for (const fs::path& folder : chosen.folders) {
    std::error_code error;
    fs::directory_iterator(folder, error);
    if (error) {
      std::fprintf(stderr, "word_count: %s: %s\n", folder.c_str(), error.message().c_str());
      return 1;
    }
  }
  return chosen;
}

int main(int argc, char** argv) try {
  const auto parsed = parse(argc, argv);
  if (const int* status = std::get_if<int>(&parsed)) return *status;
  run(count_words(std::get<settings>(parsed)));
  if (std::fflush(stdout) != 0) throw std::system_error(errno, std::generic_category(), "standard output");
} catch (const std::exception& error) {
  std::fprintf(stderr, "word_count: %s\n", error.what());
  return 1;
}
