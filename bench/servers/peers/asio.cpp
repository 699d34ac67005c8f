// Boost.Asio with its coroutines, on epoll. Usage: asio PORT WORKERS
#include <utility>  // Boost 1.74 needs it before

#include <boost/asio.hpp>
#include <cstdlib>
#include <thread>
#include <vector>

namespace asio = boost::asio;
using asio::ip::tcp;

asio::awaitable<void> serve(tcp::socket s) {
  char bytes[4096];
  for (;;) {
    boost::system::error_code error;
    const std::size_t n =
        co_await s.async_read_some(asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return;
    co_await asio::async_write(s, asio::buffer(bytes, n), asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return;
  }
}

asio::awaitable<void> listen(tcp::acceptor acceptor) {
  for (;;) {
    tcp::socket s = co_await acceptor.async_accept(asio::use_awaitable);
    s.set_option(tcp::no_delay(true));
    asio::co_spawn(acceptor.get_executor(), serve(std::move(s)), asio::detached);
  }
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const int workers = std::atoi(argv[2]);
  asio::io_context context(workers);
  const auto port = static_cast<unsigned short>(std::atoi(argv[1]));
  asio::co_spawn(context, listen(tcp::acceptor(context, {asio::ip::address_v4::loopback(), port})), asio::detached);
  std::vector<std::thread> others;
  for (int i = 1; i < workers; ++i) others.emplace_back([&context] { context.run(); });
  context.run();
}
