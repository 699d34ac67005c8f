// What a debugger finds in a program: the runtimes, the types that the script reads by their members' names, and, for
// gdb, the script itself. This file is compiled with debug information in every build (CMakeLists.txt).
#include <ringo/detail/channel_core.hpp>
#include <ringo/detail/context_core.hpp>
#include <ringo/detail/io_operation.hpp>
#include <ringo/detail/permit_core.hpp>
#include <ringo/detail/source.hpp>
#include <ringo/detail/task_promise.hpp>

#include "runtime/names.hpp"
#include "runtime/registry.hpp"
#include "runtime/runtime_core.hpp"

constinit ringo::detail::registry* ringo_runtimes = nullptr;

namespace ringo::detail {

// Types that a compiler describes since this variable refers to them.
extern const struct types_for_debuggers {
  runtime_core* runtime;
  scheduler* worker;
  channel_core* channel;
  permit_core* permits;
  object_source* source;
  descriptor_source* descriptor;
  context_core* context;
  task_promise_base* promise;
  awaited_task* awaited;
  waiter* waiting;
  name_table* names;
  name_entry* name;
} types_for_debuggers;
[[gnu::used]] const struct types_for_debuggers types_for_debuggers{};

}  // namespace ringo::detail

#ifdef RINGO_DEBUGGER_SCRIPT
// gdb's manual: "The .debug_gdb_scripts section". 4 is Python in the section, whose first line is the script's name.
__asm__(
    ".pushsection .debug_gdb_scripts, \"MS\", %progbits, 1\n"
    ".byte 4\n"
    ".ascii \"ringo\\n\"\n"
    ".incbin \"" RINGO_DEBUGGER_SCRIPT
    "\"\n"
    ".byte 0\n"
    ".popsection\n");
#endif
