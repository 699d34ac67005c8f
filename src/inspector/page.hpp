// The inspector's page, page.html, which CMakeLists.txt makes a string of.
#pragma once
#include <string_view>

namespace ringo::detail {

extern const std::string_view inspector_page;

}  // namespace ringo::detail
