#include <ringo/detail/source.hpp>

#include <ringo/detail/foreign_threads.hpp>

namespace ringo::detail {

source::~source() {
  if (is_named_) [[unlikely]]
    forget_name(this);
}

void object_source::end() noexcept {
  worker* w = current_worker();
  if (used_by(w)) return end_here(w);
  do_where_used(owner, [this](worker* there) { end_here(there); });
}

void object_source::end_here(worker* w) noexcept {
  section_of here(*this, w);
  end_waits(here);
}

void object_source::retain() noexcept {
  const section_of here(*this);
  ++uses_;
}

void object_source::let_go() noexcept {
  worker* w = current_worker();
  if (used_by(w)) return let_go_here(w);
  do_where_used(owner, [this](worker* there) { let_go_here(there); });
}

void object_source::let_go_here(worker* w) noexcept {
  const section_of here(*this, w);
  --uses_;
}

}  // namespace ringo::detail
