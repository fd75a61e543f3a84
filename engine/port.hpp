// Where packets come from and go to: one contract for DPDK, memory and generators.
// A port has two sides, inside and outside. All calls are made by one thread for each direction (receive, transmit).
#pragma once
#include <cstdint>

#include "frame.hpp"

namespace snf {

class Port {
 public:
  virtual ~Port() = default;
  // Up to `room` frames from either side, each marked with its side. Never blocks.
  virtual unsigned receive(Frame* frames, unsigned room) = 0;
  // Takes all `count` frames, sends each out of `to`; returns how many were sent, the others are released
  // (transmit_full).
  virtual unsigned transmit(Side to, const Frame* frames, unsigned count) = 0;
  virtual void release(const Frame* frames, unsigned count) = 0;
  // A new empty frame for generated packets; data == nullptr where there is none to be had.
  virtual Frame allocate() = 0;
  // What the caller gave with the frame, for ports that have callers (memory).
  virtual std::uint64_t token(const Frame&) const { return 0; }
  // Hands over what `transmit` may have kept back. Called once a loop.
  virtual void flush() {}
  // Whether what is sent on that side now has a chance to arrive.
  virtual bool link_up(Side) const { return true; }
  // Frames that the device has dropped for want of a free buffer. May be a system call.
  virtual std::uint64_t missed() { return 0; }
  // Readable file descriptor to wait for when idle, or -1 where the port can only be polled.
  virtual int wait_descriptor(Side) { return -1; }
  // Prepare to sleep on wait_descriptor (re-arm interrupts); false: packets are there, do not sleep.
  virtual bool prepare_wait() { return true; }
};

}  // namespace snf
