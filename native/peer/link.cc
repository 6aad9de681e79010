// See link.h. Receiving: a stream buffer is parsed frame by frame; a bulk payload is copied to
// its own aligned buffer as far as it was received, and the rest is received straight into it.
#include "peer/link.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "base/endian.h"
#include "base/limits.h"

namespace blkmirror::peer {

namespace {

// An unanswered request may take this many timeouts while the peer still answers pings.
constexpr uint64_t kKoCount = 7;

// As many as may be in flight, and those reported while the send that carried them still runs.
constexpr uint32_t kWatched = limits::kFramesInFlight + SendQueue::kPartsPerSend;

}  // namespace

Link::Link(io::Io& io, BufferPool& pool, LinkOwner& owner, uint32_t slot)
    : io_(io),
      pool_(pool),
      owner_(owner),
      slot_(slot),
      stream_(limits::kStreamBytes),
      watched_(kWatched) {
  receive_op_.owner = this;
  receive_op_.complete = receive_complete;
  send_op_.owner = this;
  send_op_.complete = send_complete;
  waiter_.ready = buffer_ready;
  waiter_.link_owner = this;
}

// Still open: only after a simulated crash of the Io, which took all operations with it.
Link::~Link() {
  BM_ASSERT(!receive_op_.impl.pending);
  BM_ASSERT(!send_op_.impl.pending);
}

void Link::open(io::SocketId socket, uint32_t incarnation, uint64_t timeout_us) {
  BM_ASSERT(state_ == State::kIdle);
  BM_ASSERT(queue_.empty());
  BM_ASSERT(bulk_ == nullptr);
  state_ = State::kOpen;
  socket_ = socket;
  incarnation_ = incarnation;
  timeout_us_ = timeout_us;
  head_ = tail_ = 0;
  have_header_ = false;
  resume_ = false;
  data_allowed_ = false;
  epoch_ended_ = false;
  ping_unanswered_ = false;
  received_.count = written_.count = 0;
  watched_head_ = watched_tail_ = 0;
  last_received_us_ = last_ping_us_ = io_.now_us();
  start_receive();
}

void Link::lose(LinkLoss loss, const char* detail) {
  if (state_ != State::kOpen) return;
  state_ = State::kClosing;
  BM_ASSERT(socket_ != io::kNoSocket);
  io_.shutdown(socket_);
  if (waiter_.link.linked()) pool_.cancel(waiter_);
  queue_.clear();
  received_.count = written_.count = 0;
  watched_head_ = watched_tail_ = 0;
  owner_.on_lost(*this, loss, detail);
}

// The owner's batch_end() is what notices that nothing is in flight any more: a link is never
// closed while one of its callbacks is on the stack.
void Link::finish_closing() {
  BM_ASSERT(state_ == State::kClosing);
  if (receiving_ || sending_ || parsing_) return;
  if (bulk_ != nullptr) BufferPool::release(*bulk_);
  bulk_ = nullptr;
  io_.close_socket(socket_);
  socket_ = io::kNoSocket;
  state_ = State::kIdle;
  owner_.on_closed(*this);
}

void Link::allow_data() {
  BM_ASSERT(state_ == State::kOpen);
  data_allowed_ = true;
  parse();
}

void Link::start_receive() {
  if (receiving_ || state_ != State::kOpen) return;
  if (head_ == tail_) {
    head_ = tail_ = 0;
  } else if (head_ > 0) {
    std::memmove(stream_.get(), stream_.get() + head_, available());
    tail_ -= head_;
    head_ = 0;
  }
  uint32_t count = 0;
  receives_bulk_ = bulk_ != nullptr;
  if (receives_bulk_) {
    BM_ASSERT(bulk_filled_ < header_.payload_bytes);
    receive_parts_[count++] =
        iovec{bulk_->data + bulk_filled_, header_.payload_bytes - bulk_filled_};
  }
  // Of the frame being received, or of the last one.
  const bool large = is_bulk(header_.type) && header_.payload_bytes >= limits::kLargePayloadBytes;
  const uint32_t most = large ? limits::kReadAheadBytes : limits::kStreamBytes;
  const uint32_t room = std::min(most, limits::kStreamBytes - tail_);
  if (room > 0) receive_parts_[count++] = iovec{stream_.get() + tail_, room};
  if (count == 0) return;
  receiving_ = true;
  io_.receive(socket_, receive_parts_, count, receive_op_);
}

void Link::receive_complete(io::Op& op, int32_t result) {
  Link& link = *static_cast<Link*>(op.owner);
  BM_ASSERT(link.receiving_);
  link.receiving_ = false;
  if (link.state_ != State::kOpen) return;
  if (result > 0) {
    link.received(static_cast<uint32_t>(result));
  } else if (result == 0) {
    link.lose(LinkLoss::kBrokenPipe, "the peer closed the connection");
  } else if (result == -ECONNRESET || result == -EPIPE) {
    link.lose(LinkLoss::kBrokenPipe, "the peer reset the connection");
  } else {
    link.lose(LinkLoss::kNetworkFailure, std::strerror(-result));
  }
}

void Link::received(uint32_t bytes) {
  last_received_us_ = io_.now_us();
  ping_unanswered_ = false;
  received_bytes_ += bytes;
  // A bulk payload may have begun since: what was under way then comes into the stream.
  if (receives_bulk_) {
    BM_ASSERT(bulk_ != nullptr);
    const uint32_t wanted = header_.payload_bytes - bulk_filled_;
    const uint32_t direct = std::min(bytes, wanted);
    bulk_filled_ += direct;
    bytes -= direct;
    // The stream part of the vector is filled only after the bulk part is full.
    BM_ASSERT(bytes == 0 || direct == wanted);
  }
  tail_ += bytes;
  BM_ASSERT(tail_ <= limits::kStreamBytes);
  parse();
}

void Link::parse() {
  if (parsing_) return;
  parsing_ = true;
  while (state_ == State::kOpen && parse_one()) {
  }
  parsing_ = false;
  if (state_ == State::kOpen && !waiter_.link.linked()) start_receive();
}

// True when something was consumed and there may be more.
bool Link::parse_one() {
  if (bulk_ != nullptr) {
    continue_bulk();
    if (bulk_filled_ < header_.payload_bytes) return false;
    finish_bulk();
    return true;
  }
  if (!have_header_) {
    if (available() < kFrameHeaderBytes) return false;
    const auto decoded = decode(
        std::span<const std::byte, kFrameHeaderBytes>(stream_.get() + head_, kFrameHeaderBytes));
    if (!decoded.ok()) {
      lose(LinkLoss::kProtocolError, decoded.error().what);
      return false;
    }
    header_ = decoded.value();
    head_ += kFrameHeaderBytes;
    have_header_ = true;
  }
  const bool always = header_.type == FrameType::kControl || header_.type == FrameType::kPing ||
                      header_.type == FrameType::kPong;
  if (!always && !data_allowed_) return false;
  return is_bulk(header_.type) ? begin_bulk() : deliver_small();
}

bool Link::begin_bulk() {
  if (waiter_.link.linked()) return false;
  bulk_ = pool_.try_get(header_.payload_bytes);
  if (bulk_ == nullptr) {
    waiter_.length = header_.payload_bytes;
    pool_.wait(waiter_);
    return false;
  }
  bulk_filled_ = 0;
  return true;
}

void Link::buffer_ready(BufferWaiter& waiter) {
  Link& link = *static_cast<LinkWaiter&>(waiter).link_owner;
  BM_ASSERT(link.bulk_ == nullptr);
  BM_ASSERT(link.state_ == State::kOpen);
  link.bulk_ = link.pool_.try_get(waiter.length);
  BM_ASSERT(link.bulk_ != nullptr);
  link.bulk_filled_ = 0;
  link.resume_ = true;
}

void Link::continue_bulk() {
  const uint32_t part = std::min(available(), header_.payload_bytes - bulk_filled_);
  std::memcpy(bulk_->data + bulk_filled_, stream_.get() + head_, part);
  bulk_filled_ += part;
  head_ += part;
}

void Link::finish_bulk() {
  BM_ASSERT(bulk_ != nullptr);
  BM_ASSERT(bulk_filled_ == header_.payload_bytes);
  Buffer& buffer = *bulk_;
  bulk_ = nullptr;
  have_header_ = false;
  owner_.on_bulk(*this, header_, buffer);
}

bool Link::deliver_small() {
  if (available() < header_.payload_bytes) return false;
  const std::span<const std::byte> payload(stream_.get() + head_, header_.payload_bytes);
  head_ += header_.payload_bytes;
  have_header_ = false;
  if (header_.type == FrameType::kPing) {
    answer_ping(header_.sequence);
  } else if (header_.type != FrameType::kPong) {
    owner_.on_frame(*this, header_, payload);
  }
  return true;
}

void Link::answer_ping(uint64_t sequence) {
  // A peer that sends pings and never reads gets no more answers than fit.
  if (space() < kFrameHeaderBytes + limits::kControlBytes) return;
  FrameHeader pong;
  pong.type = FrameType::kPong;
  pong.sequence = sequence;
  push(pong);
}

void Link::push(const FrameHeader& header, std::span<const std::byte> payload) {
  BM_ASSERT(up());
  queue_.push(marked(header), payload);
}

void Link::push_bulk(const FrameHeader& header, Buffer& buffer) {
  BM_ASSERT(up());
  queue_.push_bulk(marked(header), buffer);
}

// The first write or flush after one that completed begins an epoch.
FrameHeader Link::marked(const FrameHeader& header) {
  FrameHeader frame = header;
  const bool ordered = header.type == FrameType::kData || header.type == FrameType::kZeroes ||
                       header.type == FrameType::kFlush;
  if (!epoch_ended_ || !ordered) return frame;
  frame.flags |= kFlagEpoch;
  epoch_ended_ = false;
  return frame;
}

void Link::watch(uint64_t sequence) {
  BM_ASSERT(up());
  BM_ASSERT(!queue_.empty());
  if (watched_tail_ - watched_head_ == kWatched) {
    lose(LinkLoss::kProtocolError, "the peer reports writes before they are sent");
    return;
  }
  watched_[watched_tail_ % kWatched] = Watched{sequence, queue_.pushed_bytes()};
  watched_tail_ += 1;
}

// The owner may lose the connection inside the call: then nothing is watched any more.
void Link::tell_sent() {
  BM_ASSERT(!sending_);
  while (watched_head_ != watched_tail_) {
    const Watched& next = watched_[watched_head_ % kWatched];
    if (next.end > queue_.sent_bytes()) return;
    const uint64_t sequence = next.sequence;
    watched_head_ += 1;
    owner_.on_sent(*this, sequence);
  }
}

void Link::report_received(uint64_t sequence) { report(received_, sequence); }

void Link::report_written(uint64_t sequence) { report(written_, sequence); }

void Link::report(Reports& reports, uint64_t sequence) {
  if (!up()) return;
  if (reports.count == limits::kFramesInFlight) {
    lose(LinkLoss::kProtocolError, "the peer sends writes and does not read acknowledgements");
    return;
  }
  reports.sequences[reports.count] = sequence;
  reports.count += 1;
}

// False when there is no room for all of them now.
bool Link::push_reports(FrameType type, Reports& reports) {
  std::byte payload[8 * limits::kWritesInFlight];
  while (reports.count > 0) {
    const uint32_t count = std::min(reports.count, limits::kWritesInFlight);
    const uint32_t bytes = count * 8;
    if (space() < kFrameHeaderBytes + bytes) return false;
    reports.count -= count;
    for (uint32_t i = 0; i < count; ++i) {
      store_be64(payload + 8 * i, reports.sequences[reports.count + i]);
    }
    FrameHeader header;
    header.type = type;
    header.payload_bytes = bytes;
    push(header, {payload, bytes});
  }
  return true;
}

void Link::batch_end() {
  if (state_ == State::kClosing) {
    finish_closing();
    return;
  }
  if (resume_) {
    resume_ = false;
    if (state_ == State::kOpen) parse();
  }
  if (state_ != State::kOpen || sending_) return;
  if (push_reports(FrameType::kReceived, received_)) push_reports(FrameType::kWritten, written_);
  if (queue_.empty()) return;
  const uint32_t count = queue_.gather();
  BM_ASSERT(count > 0);
  sending_ = true;
  io_.send(socket_, queue_.parts(), count, send_op_);
}

void Link::send_complete(io::Op& op, int32_t result) {
  Link& link = *static_cast<Link*>(op.owner);
  BM_ASSERT(link.sending_);
  link.sending_ = false;
  link.queue_.complete();
  if (link.state_ != State::kOpen) return;
  if (result >= 0) {
    link.tell_sent();
  } else if (result == -EPIPE || result == -ECONNRESET) {
    link.lose(LinkLoss::kBrokenPipe, "the peer reset the connection");
  } else {
    link.lose(LinkLoss::kNetworkFailure, std::strerror(-result));
  }
}

void Link::tick(uint64_t now_us, uint64_t oldest_us) {
  if (state_ != State::kOpen) return;
  // While a buffer is awaited here nothing is received, and silence says nothing.
  if (waiter_.link.linked()) last_received_us_ = now_us;
  uint64_t waiting_since = ping_unanswered_ ? last_ping_us_ : 0;
  if (oldest_us != 0) {
    waiting_since = waiting_since == 0 ? oldest_us : std::min(waiting_since, oldest_us);
  }
  const uint64_t silent_since = std::max(waiting_since, last_received_us_);
  if (waiting_since != 0 && now_us > silent_since + timeout_us_) {
    lose(LinkLoss::kTimeout, "the peer did not answer within timeout-ms");
    return;
  }
  if (oldest_us != 0 && now_us > oldest_us + kKoCount * timeout_us_) {
    lose(LinkLoss::kTimeout, "the peer answers but did not finish a request in 7 times timeout-ms");
    return;
  }
  const uint64_t interval = oldest_us != 0 ? timeout_us_ / 4 : timeout_us_ / 2;
  const uint64_t quiet_since = std::max(last_received_us_, last_ping_us_);
  if (ping_unanswered_ || now_us < quiet_since + interval) return;
  if (space() < kFrameHeaderBytes) return;
  FrameHeader ping;
  ping.type = FrameType::kPing;
  push(ping);
  last_ping_us_ = now_us;
  ping_unanswered_ = true;
}

}  // namespace blkmirror::peer
