# The controller and analyst. It does not link MPI: it must outlive what it judges.
add_executable(lockstep
  command_line.cpp lab_session.cpp lockstep.cpp lockstep_certify.cpp lockstep_check.cpp lockstep_collect.cpp lockstep_doctor.cpp
  lockstep_hosts.cpp lockstep_lab.cpp lockstep_output.cpp lockstep_prediction.cpp lockstep_show.cpp lockstep_verify.cpp)
target_link_libraries(lockstep PRIVATE
  lockstep_flags lockstep::core lockstep::plan lockstep::step lockstep::compute lockstep::record lockstep::campaign
  lockstep::certify lockstep::report lockstep::lab lockstep::workloads CLI11::CLI11 nlohmann_json::nlohmann_json)
lockstep_reuse_headers(lockstep lockstep_room_headers)
