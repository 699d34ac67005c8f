// Endpoints: text to addresses and back.
#include <doctest/doctest.h>

#include <ringo/endpoint.hpp>
#include <stdexcept>
#include <string>
#include <unordered_set>

using ringo::endpoint;

TEST_CASE("an endpoint is written as it is read") {
  for (const char* text : {"127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:80", "[::]:0",
                           "[2001:db8::17]:443", "[::ffff:192.0.2.1]:9", "[fe80::1%lo]:7"}) {
    CAPTURE(text);
    CHECK(endpoint(text).to_string() == text);
  }
  CHECK(endpoint("[0:0:0:0:0:0:0:1]:80").address() == "::1");
  CHECK(endpoint("127.0.0.1:80").port() == 80);
  CHECK(!endpoint("127.0.0.1:80").is_v6());
  CHECK(endpoint("[::1]:80").is_v6());
}

TEST_CASE("what is no endpoint is refused, and said to be wrong in what") {
  const auto refusal = [](const char* text) -> std::string {
    try {
      return "taken: " + endpoint(text).to_string();
    } catch (const std::invalid_argument& e) {
      return e.what();
    }
  };
  CHECK(refusal("127.0.0.1").find("no port") != std::string::npos);
  CHECK(refusal("127.0.0.1:").find("0 to 65535") != std::string::npos);
  CHECK(refusal("127.0.0.1:65536").find("0 to 65535") != std::string::npos);
  CHECK(refusal("127.0.0.1:-1").find("0 to 65535") != std::string::npos);
  CHECK(refusal("127.0.0.1:80 ").find("0 to 65535") != std::string::npos);
  CHECK(refusal("::1:80").find("brackets") != std::string::npos);
  CHECK(refusal("[::1:80").find("]") != std::string::npos);
  CHECK(refusal("[::1]80").find("]:") != std::string::npos);
  CHECK(refusal("localhost:80").find("resolve") != std::string::npos);
  CHECK(refusal("256.0.0.1:80").find("no IPv4") != std::string::npos);
  CHECK_THROWS_AS(endpoint(std::string_view("127.0.0.1\0:80", 13)), std::invalid_argument);
  CHECK(refusal("[fe80::1%no-such-interface]:80").find("no IPv4") != std::string::npos);
}

TEST_CASE("endpoints are compared and hashed by what they say, and one of nothing is false") {
  CHECK(endpoint("[::1]:80") == endpoint("[0::1]:80"));
  CHECK(endpoint("[::1]:80") != endpoint("[::1]:81"));
  CHECK(endpoint("127.0.0.1:80") != endpoint("[::1]:80"));
  CHECK(!endpoint());
  CHECK(endpoint() == endpoint());
  const std::unordered_set<endpoint> some = {endpoint("127.0.0.1:1"), endpoint("127.0.0.1:1"), endpoint("[::1]:1")};
  CHECK(some.size() == 2);
}
