#include "platform/own_memory.hpp"

#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>

namespace ringo::detail {

bool copy_own_memory(std::uintptr_t from, void* to, std::size_t size) noexcept {
  const iovec local{to, size};
  const iovec remote{reinterpret_cast<void*>(from), size};  // NOLINT(performance-no-int-to-ptr)
  // Not by the C library's function, which sanitizers replace.
  return ::syscall(SYS_process_vm_readv, ::getpid(), &local, 1UL, &remote, 1UL, 0UL) == static_cast<long>(size);
}

bool copy_own_memory(std::span<const memory_range> from, void* to, std::size_t size) noexcept {
  std::array<iovec, 256> remote;
  for (std::size_t i = 0; i < from.size(); ++i) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    remote[i] = {reinterpret_cast<void*>(from[i].begin), from[i].end - from[i].begin};
  }
  const iovec local{to, size};
  return ::syscall(SYS_process_vm_readv, ::getpid(), &local, 1UL, remote.data(), from.size(), 0UL) ==
         static_cast<long>(size);
}

}  // namespace ringo::detail
