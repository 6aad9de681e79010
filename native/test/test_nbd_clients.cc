// Real NBD clients against the server over io_uring: nbdinfo, nbdcopy, qemu-io, qemu-img, fio.
//
// `test_nbd_clients --serve PATH BYTES` serves a device that keeps nothing, for
// measurements, until its standard input ends.

#define CHECK_NO_MAIN
#include "check.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "nbd_memory_server.h"

using namespace blkmirror::nbd;

namespace {

struct Outcome {
  int status;
  std::string output;
};

Outcome shell(const std::string& command) {
  FILE* pipe = ::popen(("exec 2>&1; " + command).c_str(), "re");
  Outcome outcome{-1, ""};
  if (pipe == nullptr) return outcome;
  char part[4096];
  while (const size_t count = std::fread(part, 1, sizeof part, pipe)) {
    outcome.output.append(part, count);
  }
  const int status = ::pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return outcome;
}

// A folder of its own with a server's socket.
struct Scene {
  explicit Scene(uint64_t bytes = 64u << 20, uint32_t block = 512)
      : folder(make_folder()), server(folder + "/s", bytes, block) {}
  ~Scene() { shell("rm -rf " + folder); }
  std::string uri() const { return "'nbd+unix:///memory?socket=" + folder + "/s'"; }
  void must(const std::string& command) {
    const Outcome outcome = shell("cd " + folder + "; export URI=" + uri() + "; " + command);
    output = outcome.output;
    if (outcome.status != 0) {
      check::fail(__FILE__, __LINE__,
                  command + ": status " + std::to_string(outcome.status) + ": " + output);
    }
  }
  bool says(const std::string& text) const { return output.find(text) != std::string::npos; }

  static std::string make_folder() {
    std::string path = "/tmp/blkmirror-nbd-XXXXXX";
    return ::mkdtemp(path.data()) == nullptr ? std::string() : path;
  }

  std::string folder;
  MemoryServer server;
  std::string output;
};

}  // namespace

TEST(nbd_clients_nbdinfo) {
  Scene scene(64u << 20, 4096);
  scene.must("nbdinfo \"$URI\"");
  CHECK_OK();
  CHECK(scene.says("export-size: 67108864"));
  CHECK(scene.says("can_multi_conn: true"));
  CHECK(scene.says("can_fua: true"));
  CHECK(scene.says("can_fast_zero: true"));
  CHECK(scene.says("can_trim: true"));
  CHECK(scene.says("block_size_minimum: 4096"));
  CHECK(scene.says("block_size_preferred: 4096"));
  CHECK(scene.says("block_size_maximum: 33554432"));
  CHECK(scene.says("protocol: newstyle-fixed"));
  scene.must("nbdinfo --list \"$URI\"");
  CHECK_OK();
  CHECK(scene.says("export=\"memory\""));
  scene.must("! nbdinfo \"nbd+unix:///other?socket=$PWD/s\"");
  CHECK_OK();
}

TEST(nbd_clients_nbdcopy_there_and_back) {
  Scene scene;
  scene.must("head -c 64M /dev/urandom >a; nbdcopy --flush --connections=4 a \"$URI\"");
  CHECK_OK();
  scene.must("nbdcopy --connections=4 \"$URI\" b; cmp a b");
  CHECK_OK();
  scene.must("nbdcopy --request-size=33554432 \"$URI\" b; cmp a b");
  CHECK_OK();
}

TEST(nbd_clients_qemu_io) {
  Scene scene;
  scene.must(
      "qemu-io -f raw \"$URI\" -c 'write -P 1 0 1M' -c 'write -f -P 2 1M 4k' -c 'write -z 64k 64k'"
      " -c 'write -z -u 128k 64k' -c 'discard 192k 64k' -c 'flush' -c 'read -P 1 0 64k'"
      " -c 'read -P 0 64k 192k' -c 'read -P 1 256k 768k' -c 'read -P 2 1M 4k'"
      " -c 'write -P 3 4094k 8k' -c 'read -P 3 4094k 8k' -c 'aio_write -P 4 8M 16M'"
      " -c 'aio_read 0 32M' -c 'aio_flush' -c 'read -P 4 8M 16M'");
  CHECK_OK();
  CHECK(!scene.says("failed"));
  CHECK(!scene.says("rror"));
}

TEST(nbd_clients_qemu_img) {
  Scene scene;
  scene.must("head -c 48M /dev/urandom >a; truncate -s 64M a");
  CHECK_OK();
  scene.must("qemu-img convert -n -f raw -O raw a \"$URI\"");
  CHECK_OK();
  scene.must("qemu-img compare -f raw -F raw a \"$URI\"");
  CHECK_OK();
  CHECK(scene.says("Images are identical"));
}

TEST(nbd_clients_fio_verifies) {
  Scene scene;
  scene.must(
      "fio --name=v --ioengine=nbd --uri=\"$URI\" --rw=randrw --bsrange=512-1M --blockalign=512"
      " --size=16M --offset_increment=16M --numjobs=4 --iodepth=32 --verify=crc32c"
      " --verify_fatal=1 --loops=2 --output-format=terse");
  CHECK_OK();
  CHECK(scene.says("connected to NBD server"));  // fio ends with 0 when it could not
  CHECK(!scene.says("rror"));
}

int main(int argc, char** argv) {
  if (argc == 4 && std::string(argv[1]) == "--serve") {
    const MemoryServer server(argv[2], std::strtoull(argv[3], nullptr, 10), 512, true);
    char byte;
    while (::read(0, &byte, 1) > 0) {
    }
    return 0;
  }
  return check::run(argc > 1 ? argv[1] : nullptr);
}
