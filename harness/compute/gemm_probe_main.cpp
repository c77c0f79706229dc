#include "harness/compute/kernel_probe.hpp"

int main(int argc, char** argv) {
  return lockstep::compute::probe_main(argc, argv);
}
