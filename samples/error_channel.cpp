// A pool in which some jobs fail: results come on one channel, errors on another, and the remaining jobs go on.
#include <cstdio>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>

#include <ringo/ringo.hpp>

using namespace ringo;

int process(int job) {
  if (job % 4 == 0) throw std::runtime_error("job " + std::to_string(job) + " cannot be done");
  return job * job;
}

task<> worker(receiver<int> jobs, sender<int> results, sender<std::string> errors) {
  while (auto job = co_await jobs.recv()) {
    int result = 0;
    std::string failure;
    try {
      result = process(*job);
    } catch (const std::exception& error) {
      failure = error.what();  // C++ has no co_await in a catch block
    }
    if (failure.empty()) {
      co_await results.send(result);
    } else {
      co_await errors.send(failure);
    }
  }
}

task<> hand_out(int count, sender<int> jobs) {
  for (int job = 1; job <= count; ++job) co_await jobs.send(job);
  jobs.close();
}

task<> program() {
  channel<int> jobs;
  channel<int> results;
  channel<std::string> errors;
  go(hand_out, 10, jobs);

  wait_group workers;
  for (int i = 0; i < 3; ++i) workers.go(worker, jobs, results, errors);
  go([&workers, results, errors]() -> task<> {
    co_await workers.wait();
    results.close();
    errors.close();
  });

  // Receives from both channels until both are closed. The channel that closes first becomes nil, which is never ready.
  int sum = 0;
  receiver<int> values = results;
  receiver<std::string> failures = errors;
  const auto add = [&](std::optional<int> value) {
    if (value) {
      sum += *value;
    } else {
      values = {};
    }
  };
  const auto report = [&](std::optional<std::string> failure) {
    if (failure) {
      std::printf("error: %s\n", failure->c_str());
    } else {
      failures = {};
    }
  };
  while (values || failures) co_await select(on(values.recv(), add), on(failures.recv(), report));
  std::printf("sum of the results: %d\n", sum);
}

int main() { run(program); }
