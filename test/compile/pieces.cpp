// What is sent in several pieces, and started with several arguments.
// refused 1: write it without braces
// refused 2: write it without braces
// refused 3: a buffer is no string
// refused 4: deleted
// refused 5: deleted
// refused 6: deleted
#include <ringo/process.hpp>
#include <ringo/ringo.hpp>
#include <ringo/udp.hpp>
#include <ringo/unix.hpp>
#include <ringo/unix_datagram.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

using namespace ringo;
using namespace std::chrono_literals;

task<> pieces(tcp_stream s, unix_stream u, udp_socket d, unix_datagram named, std::string text) {
  char buffer[10] = "";
  const std::vector<std::byte> bytes(3);
#if REFUSED == 1
  co_await s.send({"a", "b"});
#elif REFUSED == 2
  co_await s.send({text, "b", "c"});
#elif REFUSED == 3
  co_await s.send("a", buffer);
#elif REFUSED == 4
  co_await d.send(buffer);
#elif REFUSED == 5
  co_await named.send_to(buffer, "@name");
#elif REFUSED == 6
  co_await u.send_message(buffer, 1, 2);
#else
  co_await s.send("a", "b");
  co_await s.send("a", text, std::to_string(7), std::string_view("b"), bytes, std::array<unsigned char, 2>{1, 2});
  co_await select(s.send(text, "\n"), sleep(1s));
  co_await with_timeout(1s, s.send("a", std::to_string(7)));
  if (text.empty()) co_await s.send("a", "b", "c");
  co_await s.send({text.data(), text.size()});
  auto [reader, writer] = std::move(s).split();
  co_await writer.send("a", "b");
  co_await u.send("a", "b");
  co_await u.send_message("a", 1, 2);
  co_await standard_output().send("a", text, "\n");
  co_await d.send(bytes);
  co_await named.send_to(bytes, "@name");
  process p = co_await process::start({"sort", "-u", text}, {.output = process_stream::pipe});
  co_await p.input().send("b\n", "a\n");
  std::vector<std::string> arguments{"true"};
  co_await process::start(std::move(arguments));
#endif
}
