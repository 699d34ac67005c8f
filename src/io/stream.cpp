#include <ringo/stream.hpp>

#include <ringo/detail/foreign_threads.hpp>

#include "io/stream_core.hpp"

namespace ringo {

void stream_writer::end() noexcept {
  detail::stream_core& core = *core_.get();
  const detail::worker* w = detail::current_worker();
  if (w != nullptr && w->runtime_id == core.owner.runtime_id()) return core.end_sending();
  core.add_handle();
  detail::do_where_used(core.owner, [&core](detail::worker*) {
    core.end_sending();
    core.drop_handle();
  });
}

}  // namespace ringo
