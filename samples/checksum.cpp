// Prints the SHA-256 checksums of all files under some folders, as sha256sum does, several files at a time. Ctrl-C ends
// it in good order: it cancels and joins everything that runs, and prints the checksums that it has.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <new>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>
#include <unistd.h>

#include <openssl/evp.h>

#include <ringo/ringo.hpp>

using namespace ringo;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr std::string_view help = R"(Usage: checksum [--jobs N] PATH...
Prints the SHA-256 checksums of each PATH, or of all regular files under it where it
is a folder, in the order of their names and as sha256sum does. N files are read at a
time (default: one per CPU). Symbolic links below a PATH are not followed.
)";

struct file {
  std::string name;
  std::uintmax_t size = 0;
  std::string checksum = {};  // empty until it is known
};

// The progress bar shows this, and the exit status depends on it.
struct progress {
  std::uintmax_t bytes_in_all = 0;
  std::atomic<std::uintmax_t> bytes = 0;
  std::atomic<bool> failed = false;
};

bool bar_is_shown() { return isatty(STDERR_FILENO) == 1; }

void complain(const std::string& name, const std::error_code& error) {
  const char* const clear_line = bar_is_shown() ? "\r\033[K" : "";
  std::fprintf(stderr, "%schecksum: %s: %s\n", clear_line, name.c_str(), error.message().c_str());
}

// The entries of one folder.
struct listing {
  std::vector<file> files;
  std::vector<std::string> folders;
  std::vector<std::pair<std::string, std::error_code>> errors;
};

listing list(const std::string& folder) {
  listing found;
  std::error_code folder_error;
  for (fs::directory_iterator entry(folder, folder_error), end; entry != end; entry.increment(folder_error)) {
    std::error_code error;
    const std::string& name = entry->path().native();
    const fs::file_type type = entry->symlink_status(error).type();
    if (type == fs::file_type::directory) found.folders.push_back(name);
    if (type == fs::file_type::regular) found.files.push_back({.name = name, .size = entry->file_size(error)});
    if (error) found.errors.emplace_back(name, error);
  }
  if (folder_error) found.errors.emplace_back(folder, folder_error);
  return found;
}

// Throws std::system_error if the file cannot be read. Returns nothing if stop is requested.
std::string hash(const std::string& name, std::stop_token stop, progress& counted) {
  const auto close = [](std::FILE* f) { std::fclose(f); };
  const std::unique_ptr<std::FILE, decltype(close)> in(std::fopen(name.c_str(), "rb"), close);
  if (!in) throw std::system_error(errno, std::generic_category());
  const auto free = [](EVP_MD_CTX* context) { EVP_MD_CTX_free(context); };
  const std::unique_ptr<EVP_MD_CTX, decltype(free)> sha(EVP_MD_CTX_new(), free);
  if (!sha || EVP_DigestInit_ex(sha.get(), EVP_sha256(), nullptr) != 1) throw std::bad_alloc();

  std::vector<unsigned char> buffer(256 * 1024);
  while (const std::size_t size = std::fread(buffer.data(), 1, buffer.size(), in.get())) {
    if (stop.stop_requested()) return {};
    EVP_DigestUpdate(sha.get(), buffer.data(), size);
    counted.bytes += size;
  }
  if (std::ferror(in.get()) != 0) throw std::system_error(errno, std::generic_category());

  unsigned size = 0;
  EVP_DigestFinal_ex(sha.get(), buffer.data(), &size);
  std::string hexadecimal;
  for (unsigned i = 0; i < size; ++i) {
    constexpr std::string_view digits = "0123456789abcdef";
    hexadecimal += {digits[buffer[i] / 16], digits[buffer[i] % 16]};
  }
  return hexadecimal;
}

task<> find_files(std::vector<std::string> folders, std::vector<file>& files, progress& counted) {
  while (!folders.empty()) {
    const std::string folder = std::move(folders.back());
    folders.pop_back();
    listing found = co_await blocking(list, folder);
    std::move(found.files.begin(), found.files.end(), std::back_inserter(files));
    std::move(found.folders.begin(), found.folders.end(), std::back_inserter(folders));
    for (const auto& [name, error] : found.errors) complain(name, error);
    if (!found.errors.empty()) counted.failed = true;
  }
  std::sort(files.begin(), files.end(), [](const file& a, const file& b) { return a.name < b.name; });
  for (const file& one : files) counted.bytes_in_all += one.size;
}

// A cancellation requests stop by the call's token. The shield waits for the call's end, since the call uses memory of
// this frame.
task<> hash_file(file& one, progress& counted) {
  try {
    one.checksum = co_await shield(blocking(hash, one.name, current_context().stop_token(), std::ref(counted)));
  } catch (const std::system_error& error) {
    complain(one.name, error.code());
    counted.failed = true;
  }
}

task<> hash_files(std::vector<file>& files, std::size_t at_a_time, progress& counted) {
  group running;
  running.limit(at_a_time);
  for (file& one : files) running.go(hash_file, std::ref(one), std::ref(counted));
  co_await running.wait();
}

task<> show_bar(const progress& counted) {
  constexpr std::size_t width = 50;
  constexpr std::string_view full = "##################################################";
  ticker refresh(100ms);
  for (;;) {
    co_await refresh.tick();
    const double share = static_cast<double>(counted.bytes) / std::max(1.0, static_cast<double>(counted.bytes_in_all));
    const auto done = std::min(width, static_cast<std::size_t>(share * width));
    std::fprintf(stderr, "\r[%-50.*s] %3.0f %%", static_cast<int>(done), full.data(), 100 * std::min(share, 1.0));
  }
}

task<> find_and_hash(std::vector<std::string> folders, std::vector<file>& files, std::size_t at_a_time,
                     progress& counted) {
  co_await find_files(std::move(folders), files, counted);
  if (!bar_is_shown()) {
    co_await hash_files(files, at_a_time, counted);
  } else {
    // The bar never ends by itself: it loses the select, and so is cancelled and joined.
    const auto end = co_await outcome(select(hash_files(files, at_a_time, counted), show_bar(counted)));
    std::fputs("\r\033[K", stderr);
    if (end.error()) std::rethrow_exception(end.error());
  }
}

// False if it was interrupted.
task<bool> until_interrupted(std::stop_token interrupt, task<> work) {
  try {
    co_await with_context(context::from(interrupt), std::move(work));
    co_return true;
  } catch (const cancelled&) {
    co_return false;
  }
}

// The first Ctrl-C requests stop. The second one ends the process at once, since a disk may never answer.
class ctrl_c {
 public:
  ctrl_c() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    // Later threads inherit the blocked signal, so only the thread that waits for it gets it.
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    waiting_ = std::jthread([this, set](std::stop_token over) {
      for (;;) {
        int signal = 0;
        sigwait(&set, &signal);
        if (over.stop_requested()) return;
        if (!stop_.request_stop()) std::_Exit(130);
      }
    });
  }
  ctrl_c(const ctrl_c&) = delete;
  ctrl_c& operator=(const ctrl_c&) = delete;
  ~ctrl_c() {
    waiting_.request_stop();
    pthread_kill(waiting_.native_handle(), SIGINT);
  }
  std::stop_token token() const { return stop_.get_token(); }

 private:
  std::stop_source stop_;
  std::jthread waiting_;
};

// Escapes a name that contains a line break or a backslash; a backslash before the line says so.
void print(const file& one) {
  std::string name;
  for (const char c : one.name) {
    if (c == '\\') {
      name += "\\\\";
    } else if (c == '\n') {
      name += "\\n";
    } else if (c == '\r') {
      name += "\\r";
    } else {
      name += c;
    }
  }
  std::printf("%s%s  %s\n", name == one.name ? "" : "\\", one.checksum.c_str(), name.c_str());
}

// 0 if the text is not a number.
std::size_t parse_number(const std::string& text) {
  std::size_t number = 0;
  const char* const text_end = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), text_end, number);
  return error == std::errc() && end == text_end ? number : 0;
}

int main(int argc, char** argv) try {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  std::size_t at_a_time = std::max(1U, std::thread::hardware_concurrency());
  if (arguments.size() >= 2 && arguments[0] == "--jobs") {
    at_a_time = parse_number(arguments[1]);
    arguments.erase(arguments.begin(), arguments.begin() + 2);
  }
  if (arguments.empty() || at_a_time == 0 || arguments[0].starts_with("--")) {
    std::fwrite(help.data(), 1, help.size(), stderr);
    return 2;
  }

  progress counted;
  std::vector<file> files;
  std::vector<std::string> folders;
  for (const std::string& name : arguments) {
    std::error_code error;
    if (fs::is_directory(name, error)) {
      folders.push_back(name);
    } else {
      const std::uintmax_t size = fs::file_size(name, error);
      files.push_back({.name = name, .size = error ? 0 : size});
    }
  }

  const ctrl_c interrupt;
  const bool whole = run(until_interrupted(interrupt.token(), find_and_hash(folders, files, at_a_time, counted)));

  std::size_t done = 0;
  for (const file& one : files) {
    if (one.checksum.empty()) continue;
    print(one);
    ++done;
  }
  if (std::fflush(stdout) != 0) throw std::system_error(errno, std::generic_category(), "standard output");
  if (!whole) {
    std::fprintf(stderr, "checksum: interrupted: these are %zu of %zu files\n", done, files.size());
    return 130;
  }
  return counted.failed ? 1 : 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "checksum: %s\n", error.what());
  return 1;
}
