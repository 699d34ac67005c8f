// Runs a program under a seccomp filter that refuses what some kernels and container run-times refuse.
// Usage: refusing FILTER COMMAND [ARGUMENT]...
//   io_uring         io_uring's calls answer EPERM, as under the default profiles of Docker and containerd
//   hidden_io_uring  they answer ENOSYS, as in gVisor and in kernels that were built without them
//   epoll_pwait2     io_uring's calls answer EPERM, and epoll_pwait2 ENOSYS, as before Linux 5.11
//   docker           Docker's whole default profile, and its default capabilities; all else answers EPERM
//   pidfds           descriptors of processes do not exist, as before Linux 5.3; nor does clone3
//   pwritev2         io_uring's calls answer EPERM, preadv2 and pwritev2 ENOSYS, as in qemu's emulation of system calls
//   linux_4_18       calls that came after Linux 4.18 answer ENOSYS, and RWF_NOWAIT EOPNOTSUPP, which 4.18 knew of
//   files only
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string_view>
#include <vector>

namespace {

// Made by CMake of docker_default.txt: those of its calls that this architecture and its headers have.
constexpr long docker_allows[] = {
#include "docker_default.inc"
};

constexpr int docker_capabilities[] = {
    CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FSETID,  CAP_FOWNER,     CAP_MKNOD, CAP_NET_RAW,     CAP_SETGID,
    CAP_SETUID, CAP_SETFCAP,      CAP_SETPCAP, CAP_SYS_CHROOT, CAP_KILL,  CAP_AUDIT_WRITE, CAP_NET_BIND_SERVICE};

[[noreturn]] void fail(const char* step) {
  std::fprintf(stderr, "refusing: %s: %s\n", step, std::strerror(errno));
  std::exit(125);
}

// What the kernel does with a call: 0 lets it pass, anything else is the errno that it gets instead.
constexpr sock_filter end(int error) {
  return BPF_STMT(BPF_RET | BPF_K, error == 0 ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | static_cast<unsigned>(error));
}

// Steps that are tried in turn; the first that knows the call decides.
class filter {
 public:
  filter() {
#if defined(__x86_64__)
    constexpr std::uint32_t architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
    constexpr std::uint32_t architecture = AUDIT_ARCH_AARCH64;
#else
#error "test/filters/refusing.cpp does not know this architecture"
#endif
    load(offsetof(seccomp_data, arch));
    steps_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, architecture, 1, 0));
    steps_.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
    load(offsetof(seccomp_data, nr));
  }

  void answer(long call, int error) { when(BPF_JEQ, call, {end(error)}); }
  void answer_from(long first, int error) { when(BPF_JGE, first, {end(error)}); }
  // Decides by the bits of an argument that `mask` has.
  void answer_by(long call, unsigned argument, std::uint32_t mask, std::uint32_t value, int if_equal, int if_not) {
    const auto offset = static_cast<std::uint32_t>(offsetof(seccomp_data, args) + 8 * argument);
    when(BPF_JEQ, call,
         {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1), end(if_equal), end(if_not)});
  }

  // Holds for this process and what it executes. Calls that no step knows get `otherwise`.
  void install(int otherwise) {
    steps_.push_back(end(otherwise));
    const sock_fprog program{static_cast<unsigned short>(steps_.size()), steps_.data()};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("PR_SET_NO_NEW_PRIVS");
    if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) fail("seccomp");
  }

 private:
  void load(std::size_t offset) {
    steps_.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)));
  }
  void when(int test, long value, const std::vector<sock_filter>& then) {
    steps_.push_back(BPF_JUMP(static_cast<std::uint16_t>(BPF_JMP | test | BPF_K), static_cast<std::uint32_t>(value), 0,
                              static_cast<std::uint8_t>(then.size())));
    steps_.insert(steps_.end(), then.begin(), then.end());
  }

  std::vector<sock_filter> steps_;
};

void install(std::string_view name) {
  filter f;
  int otherwise = 0;
  const auto refuse_io_uring = [&f](int error) {
    for (const long call : {SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register}) f.answer(call, error);
  };
  const auto refuse_waiting_by_pidfd = [&f] { f.answer_by(SYS_waitid, 0, ~0u, P_PIDFD, EINVAL, 0); };
  if (name == "io_uring") {
    refuse_io_uring(EPERM);
  } else if (name == "hidden_io_uring") {
    refuse_io_uring(ENOSYS);
  } else if (name == "epoll_pwait2") {
    refuse_io_uring(EPERM);
    f.answer(SYS_epoll_pwait2, ENOSYS);
  } else if (name == "docker") {
    for (int each = 0; ::prctl(PR_CAPBSET_READ, each, 0, 0, 0) >= 0; ++each) {
      if (std::find(std::begin(docker_capabilities), std::end(docker_capabilities), each) ==
          std::end(docker_capabilities))
        (void)::prctl(PR_CAPBSET_DROP, each, 0, 0, 0);  // fails if the process has no capability to drop
    }
    constexpr std::uint32_t new_namespaces = 0x7e020000, vm_sockets = 40;
    for (const long call : docker_allows) f.answer(call, 0);
    f.answer_by(SYS_socket, 0, ~0u, vm_sockets, EPERM, 0);
    f.answer_by(SYS_clone, 0, new_namespaces, 0, 0, EPERM);
    f.answer(SYS_clone3, ENOSYS);
    otherwise = EPERM;
  } else if (name == "pidfds") {
    for (const long call : {SYS_pidfd_open, SYS_pidfd_send_signal, SYS_clone3}) f.answer(call, ENOSYS);
    refuse_waiting_by_pidfd();
  } else if (name == "pwritev2") {
    refuse_io_uring(EPERM);
    for (const long call : {SYS_preadv2, SYS_pwritev2}) f.answer(call, ENOSYS);
  } else if (name == "linux_4_18") {
    // Since Linux 5.1 each call has one number on all architectures; these begin with 424.
    f.answer_from(SYS_pidfd_send_signal, ENOSYS);
    refuse_waiting_by_pidfd();
    for (const long call : {SYS_preadv2, SYS_pwritev2}) f.answer_by(call, 5, RWF_NOWAIT, RWF_NOWAIT, EOPNOTSUPP, 0);
  } else {
    std::fprintf(stderr, "refusing: there is no filter %.*s\n", static_cast<int>(name.size()), name.data());
    std::exit(2);
  }
  f.install(otherwise);
}

}  // namespace

int main(int, char** arguments) {
  if (arguments[1] == nullptr || arguments[2] == nullptr) {
    std::fputs("usage: refusing FILTER COMMAND [ARGUMENT]...\n", stderr);
    return 2;
  }
  install(arguments[1]);
  ::execvp(arguments[2], arguments + 2);
  fail(arguments[2]);
}
